"""Fluents in text: atoms such as `refunded(order)`, preconditions over them, and effects.

The Boolean syntax is the kernel's (`bem_kernel.circuits.expression`); this file checks that every
atom is a declared fluent applied to parameters of the declared object types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bb_domains.errors import ConditionError
from bem_kernel.circuits.expression import atoms
from bem_kernel.errors import ExpressionError

SELF = "self"
"""The parameter that stands for the object a step binds."""


@dataclass(frozen=True)
class Atom:
    """A fluent applied to parameters: `refunded(order)`."""

    fluent: str
    params: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.fluent}({','.join(self.params)})" if self.params else self.fluent


@dataclass(frozen=True)
class Effect:
    """A fluent that a step sets (`value` True) or clears."""

    atom: Atom
    value: bool


@dataclass(frozen=True)
class Vocabulary:
    """What an expression may mention: fluents with their object types, parameters with theirs."""

    fluents: Mapping[str, tuple[str, ...]]
    params: Mapping[str, str]


def expression_atoms(text: str, vocabulary: Vocabulary, where: str) -> tuple[Atom, ...]:
    """Return the atoms of an expression in order of first appearance.

    Raises:
        ConditionError: the text does not parse, or an atom does not fit the vocabulary.
    """
    try:
        names = atoms(text)
    except ExpressionError as error:
        raise ConditionError(f"{error.what} ({error.where})", where=where, fix=error.fix) from None
    return tuple(_atom(name, vocabulary, where) for name in names)


def parse_effect(text: str, vocabulary: Vocabulary, where: str) -> Effect:
    """Read `fluent(param)` or `!fluent(param)`.

    Raises:
        ConditionError: anything else.
    """
    body = text.strip()
    value = not body.startswith("!")
    body = body.removeprefix("!")
    found = expression_atoms(body, vocabulary, where)
    if len(found) != 1 or str(found[0]) != "".join(body.split()):
        raise ConditionError(
            f"{text!r} is no effect", where=where, fix="write one fluent, or ! and one fluent"
        )
    return Effect(found[0], value)


def _atom(name: str, vocabulary: Vocabulary, where: str) -> Atom:
    fluent, _, rest = name.partition("(")
    params = tuple(rest[:-1].split(",")) if rest else ()
    types = vocabulary.fluents.get(fluent)
    if types is None:
        known = ", ".join(vocabulary.fluents) or "none"
        raise ConditionError(f"no fluent {fluent!r}", where=where, fix=f"declared are {known}")
    for param in params:
        if param not in vocabulary.params:
            known = ", ".join(vocabulary.params) or "none"
            raise ConditionError(
                f"{name!r} speaks of {param!r}", where=where, fix=f"known objects are {known}"
            )
    if tuple(vocabulary.params[param] for param in params) != types:
        raise ConditionError(
            f"{name!r} does not fit fluent {fluent!r}",
            where=where,
            fix=f"it takes ({', '.join(types)})",
        )
    return Atom(fluent, params)
