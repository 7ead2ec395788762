"""What decides the text a model samples: ranges checked once, kept with every row."""

from __future__ import annotations

from dataclasses import dataclass

from bb_core.errors import UsageError

# Seeds travel through canonical JSON, whose integers are exact up to here (RFC 8785).
MAX_SEED = 2**53 - 1

# Option: lowest and highest value allowed.
RANGES: dict[str, tuple[float, float]] = {
    "num_edits": (1, 50),
    "temperature": (0.05, 2.0),
    "top_p": (0.05, 1.0),
    "max_new_tokens": (8, 8192),
    "batch_size": (1, 1024),
    "attempts": (1, 10),
    "seed": (0, MAX_SEED),
}


@dataclass(frozen=True)
class GenerationSettings:
    """How self-edits are sampled.

    Attributes:
        num_edits: statements asked for, and kept at most, per passage.
        temperature: softmax temperature.
        top_p: probability mass kept (nucleus sampling); 1 keeps all.
        max_new_tokens: length limit of one answer of the model, in tokens.
        batch_size: passages sampled together; changes results by rounding only.
        attempts: a passage none of whose edits is accepted is sampled this often in all.
        seed: seed of the run; each (passage, attempt) draws from its own stream.

    Raises:
        UsageError: a value out of range; the message names option, range and value.
    """

    num_edits: int = 5
    temperature: float = 1.0
    top_p: float = 0.95
    max_new_tokens: int = 192
    batch_size: int = 8
    attempts: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"{name} is {value}, which is outside {low} to {high}",
                    where="generation settings",
                    fix=f"choose a value from {low} to {high}",
                )
