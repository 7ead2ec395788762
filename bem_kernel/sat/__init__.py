"""Satisfiability: a small compiled CDCL, and a large solver beyond it."""
