"""The class codes of identifiers, in one table.

A code never changes its meaning: identifiers are stored in images, logs and proofs. Codes 48 to 63
are left to users of the machine, the rest to later versions.

Source: BEM core spec 1.2, 2.4, 3.4, 8, 9.1; BEM TEACH 1.
"""

from __future__ import annotations

from enum import IntEnum


class IdClass(IntEnum):
    """What kind of object an identifier names."""

    NONE = 0
    """No object; the word 0 is the identifier of nothing."""
    CONCEPT = 1
    """A named pattern of state, such as a fluent."""
    EXPERT = 2
    """A Boolean step function."""
    CFG = 3
    """A node of the control-flow graph."""
    VARIABLE = 4
    """A propositional variable of a formula."""
    TASK_TEMPLATE = 5
    """A template of TEACH tasks."""
    FORMULA = 6
    """A CNF formula."""
    PROOF = 7
    """A proof object."""
    PATCH = 8
    """A proposed structural change."""


FIRST_USER_CLASS = 48
"""Codes from here to 63 are the user's own."""
