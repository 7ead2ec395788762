"""Names of objects: 32-bit words that carry their own error correction."""
