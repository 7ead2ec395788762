"""Proof checking: clausal (DRAT) and resolution proofs, by code that never sees a solver."""
