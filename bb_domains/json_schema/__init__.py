"""JSON Schema to grammars: every text is a valid instance, or the schema is refused by name."""
