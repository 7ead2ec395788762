"""The HTTP interface: the OpenAI protocol under masks, plans, feedback, and a page to try them."""
