"""Ours against a peer, measured in the same run; one file per question.

Run with `python -m benchmarks ['machine.*' …] [--full] [--data DIR] [--json FILE] [--list]`.
"""
