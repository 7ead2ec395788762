"""Normal forms of Boolean functions: truth tables, ANF, ROBDD."""
