"""Words of assembler text with their places, and errors that name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from bem_kernel.errors import AssembleError
from bem_kernel.isa.program import name_fault

_T = TypeVar("_T")

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"#]+|#.*|"')
_NUMBER = re.compile(r"0[xX][0-9a-fA-F_]{1,20}|0[bB][01_]{1,80}|[0-9][0-9_]{0,24}")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text, a string in its quotes, or an operand that was put together of words."""

    text: str
    source: str
    line: int
    column: int

    def part(self, start: int, end: int | None = None) -> Token:
        """The token of a part of this one's characters."""
        return replace(self, text=self.text[start:end], column=self.column + start)


def error(token: Token, what: str, fix: str) -> AssembleError:
    """An error at a token."""
    where = f"{token.source}: line {token.line}, column {token.column}"
    return AssembleError(what, where=where, fix=fix)


def token_lines(text: str, source: str) -> Iterator[tuple[list[Token], str]]:
    """The tokens of each line that has any, and the line without its comment.

    Raises:
        AssembleError: a string is not closed.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = [Token(m.group(), source, number, m.start() + 1) for m in _TOKEN.finditer(line)]
        if tokens and tokens[-1].text.startswith("#"):
            line = line[: tokens[-1].column - 1]
            tokens.pop()
        for token in tokens:
            if token.text == '"':
                raise error(token, "this string is not closed", 'end it with "')
        if tokens:
            yield tokens, line


def declare(table: dict[str, _T], token: Token, value: _T, kind: str = "") -> None:
    """Enter a name once; `kind` is checked by the rules for names of its kind.

    Raises:
        AssembleError: it is there already, or unfit.
    """
    fault = name_fault(kind, token.text) if kind else None
    if fault is not None:
        raise error(token, *fault)
    if token.text in table:
        raise error(token, f"{shown(token.text)} is declared twice", "choose another name")
    table[token.text] = value


def look_up(table: Mapping[str, _T], token: Token, kind: str) -> _T:
    """The entry of a name.

    Raises:
        AssembleError: there is none.
    """
    if token.text not in table:
        known = ", ".join(list(table)[:8]) or "none"
        raise error(token, f"{kind} {shown(token.text)} is not declared", f"declared: {known}")
    return table[token.text]


def number(token: Token) -> int | None:
    """The value of a number without sign, decimal, 0x or 0b, with _ between digits; or None."""
    if _NUMBER.fullmatch(token.text) is None:
        return None
    digits = token.text.replace("_", "")
    try:
        return int(digits, 0) if digits[1:2] in tuple("xXbB") else int(digits)
    except ValueError:  # 0x_
        return None


def shown(text: str) -> str:
    """The text in quotes, cut to what fits in a message."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
