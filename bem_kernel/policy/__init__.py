"""Choosing: weights, sampling, regret."""
