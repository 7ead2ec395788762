"""Propositional logic: formulas in conjunctive normal form, and proofs about them, as arrays."""
