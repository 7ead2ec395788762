"""Rules with a parameter: how many members there are, and which witnesses were seen."""

from __future__ import annotations

from dataclasses import dataclass

from bb_domains.errors import LowerError
from bb_domains.json_schema.rules import Grammar, Option


@dataclass(frozen=True)
class Member:
    """A member that may be written at one place: its text, the rules in it, and what it shows."""

    text: str
    refs: tuple[str, ...]
    shows: tuple[int, ...] = ()


class Counting:
    """Rules with a parameter: a saturating count in the low bits, one bit for each witness."""

    def __init__(
        self, least: int, most: int | None, witnesses: list[tuple[int, int | None]]
    ) -> None:
        self.fields: list[tuple[int, int]] = []
        self.bounds = [(least, most), *witnesses]
        at = 0
        for low, high in self.bounds:
            width = max(low, 0 if high is None else high + 1).bit_length() or 1
            self.fields.append((at, at + width))
            at += width
        if at > 64:
            raise LowerError("counts too many things at once", where="/", fix="simplify")

    def ends(self) -> str:
        """The condition under which the value may end."""
        found = []
        for (low, high), (start, stop) in zip(self.bounds, self.fields, strict=True):
            if low:
                found.append(f"ge([{start}:{stop}],{low})")
            if high is not None:
                found.append(f"le([{start}:{stop}],{high})")
        return conjunction(found)

    def may_add(self, index: int) -> str:
        """The condition under which one more may be counted."""
        high = self.bounds[index][1]
        start, stop = self.fields[index]
        return "" if high is None else f"lt([{start}:{stop}],{high})"

    def add(self, grammar: Grammar, place: str, member: Member, comma: str, target: str) -> None:
        """Write a member at a place, count it, and go on with `target`.

        Each rule counts one thing. The rules that count stand before the member and not after it:
        llguidance does not look through a rule with a parameter that may be empty.
        """
        start, stop = self.fields[0]
        text = f"{member.text} {target}::incr([{start}:{stop}])"
        refs = (*member.refs, target)
        conditions = [c for index in (0, *member.shows) if (c := self.may_add(index))]
        for index in member.shows:
            start, stop = self.fields[index]
            # llguidance panics where a rule with a parameter is nothing but another one.
            never = Option('"!"', (), "lt(_,0)")
            through = grammar.new("w", has_parameter=True)
            grammar.rules[through] += [Option(text, refs), never]
            text, refs = f"{through}::incr([{start}:{stop}])", (through,)
        never_alone = [Option('"!"', (), "lt(_,0)")] if member.shows and not comma else []
        grammar.rules[place] += [Option(comma + text, refs, conjunction(conditions)), *never_alone]


def conjunction(conditions: list[str]) -> str:
    """All conditions; empty for none."""
    found = ""
    for condition in conditions:
        found = f"and({found},{condition})" if found else condition
    return found
