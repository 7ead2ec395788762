"""Hoare annotations on programs: weakest preconditions, edges checked by SAT, counterexamples."""
