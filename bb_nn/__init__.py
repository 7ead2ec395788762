"""Torch side of builderbrain: the frozen base rail, its taps, and the builder rail beside it."""
