"""Append-only logs whose integrity can be checked."""
