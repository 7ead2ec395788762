"""Errors of soft logic."""

from __future__ import annotations

from bb_core.errors import BBError


class SoftLogicError(BBError):
    """A logic network that cannot be, or that was given bits that do not fit."""
