"""A piece of personal data: of which kind, and where."""

from __future__ import annotations

from dataclasses import dataclass

KINDS: tuple[str, ...] = (
    "email",
    "iban",
    "card",
    "national_id",
    "phone",
    "ip",
    "birth_date",
    "name",
    "street",
)


@dataclass(frozen=True, order=True)
class Span:
    """`text[start:end]` is personal data of a kind of `KINDS`."""

    kind: str
    start: int
    end: int
