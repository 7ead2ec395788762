"""Nearest neighbours among identifiers."""
