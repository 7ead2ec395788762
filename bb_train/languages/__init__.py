"""Formal languages as a test of the rails: programs learned from strings, right at any length."""
