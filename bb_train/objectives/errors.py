"""Errors of the objectives.

BBError
└── ObjectiveError      an objective was given what it cannot measure
    ├── ShapeError      tensors that do not belong together
    ├── GradientError   a gradient that is not finite, or parameters without one
    └── StateError      a saved state that is damaged or belongs to other constraints
"""

from __future__ import annotations

from bb_core.errors import BBError


class ObjectiveError(BBError):
    """An objective was given what it cannot measure."""


class ShapeError(ObjectiveError):
    """Tensors that do not belong together."""


class GradientError(ObjectiveError):
    """A gradient that is not finite, or parameters without one."""


class StateError(ObjectiveError):
    """A saved state that is damaged, or belongs to other constraints."""
