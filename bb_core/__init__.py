"""Contracts and mathematics that every other package builds on; no torch."""

from bb_core.errors import BBError, UsageError

__version__ = "0.1.0"

__all__ = ["BBError", "UsageError", "__version__"]
