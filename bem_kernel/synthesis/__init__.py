"""Smaller circuits: optimal databases, exact synthesis, rewriting, and proofs of equality."""
