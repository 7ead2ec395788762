"""Programs: instructions, their text, and the machine that runs them."""
