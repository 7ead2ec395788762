"""Errors of `bb_nn`."""

from __future__ import annotations

from bb_core.errors import BBError


class BaseRailError(BBError):
    """The base rail cannot be loaded, or its layers cannot be found."""


class RailMismatchError(BBError):
    """A rail is being loaded beside something it was not trained with."""


class CheckpointError(BBError):
    """A checkpoint is missing, cut short or of another version."""


class LibraryError(BBError):
    """A program library that cannot be: bits that do not fit, a damaged record."""


class BudgetError(BBError):
    """A budget of the gates that was asked for cannot be."""


class CacheError(BBError):
    """A generation's cache that is another model's, damaged, or of a kind the rail cannot use."""
