"""How a request is shown to a model."""

from __future__ import annotations


def format_prompt(request: str) -> str:
    """Return the text a model continues with a plan.

    The plan follows at once: it starts with `{"plan":[`, ends with `]}`, and is followed by the
    tokenizer's end-of-sequence token.
    """
    return f"### Request\n{request}\n### Plan\n"
