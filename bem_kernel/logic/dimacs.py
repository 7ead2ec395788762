"""DIMACS CNF files: `p cnf VARS CLAUSES`, then literals, each clause ended by 0.

Source: DIMACS challenge 1993, Satisfiability: Suggested Format.
"""

from __future__ import annotations

import re

from bem_kernel.errors import CnfError
from bem_kernel.logic.cnf import MAX_VARS, Cnf, cnf_from_clauses

_HEADER = re.compile(r"p\s+cnf\s+(\d{1,12})\s+(\d{1,12})\s*")
_SHOWN = 40


def parse_dimacs(text: str, where: str = "dimacs") -> Cnf:
    """Read a formula; lines that start with `c` are comments, `%` ends the file.

    Args:
        text: the file's contents.
        where: what the text is, for messages.

    Raises:
        CnfError: the header is missing or wrong, a word is no literal, a variable is beyond the
            header's, or there are more or fewer clauses than it says; with line and column.
    """
    counts: tuple[int, int] | None = None
    clauses: list[list[int]] = []
    clause: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("c") or not line.strip():
            continue
        if line.startswith("%"):  # the SATLIB files end so
            break
        if counts is None:
            counts = _header(line, f"{where}: line {number}")
            continue
        for word in re.finditer(r"\S+", line):
            place = f"{where}: line {number}, column {word.start() + 1}"
            literal = _literal(word[0], counts[0], place)
            if literal:
                clause.append(literal)
            else:
                clauses.append(clause)
                clause = []
    if counts is None:
        raise CnfError("no header", where=where, fix="begin with `p cnf VARIABLES CLAUSES`")
    if clause:
        raise CnfError("the last clause has no end", where=where, fix="end each clause with 0")
    if len(clauses) != counts[1]:
        raise CnfError(
            f"{len(clauses)} clauses where the header says {counts[1]}",
            where=where,
            fix="correct the header, or look for what is missing",
        )
    return cnf_from_clauses(clauses, counts[0])


def _header(line: str, place: str) -> tuple[int, int]:
    match = _HEADER.fullmatch(line)
    if match is None or int(match[1]) > MAX_VARS:
        raise CnfError(
            f"{line.strip()[:_SHOWN]!r} is no header",
            where=place,
            fix=f"write `p cnf VARIABLES CLAUSES`, with at most {MAX_VARS} variables",
        )
    return int(match[1]), int(match[2])


def _literal(word: str, n_vars: int, place: str) -> int:
    if re.fullmatch(r"-?\d{1,10}", word) is None:
        raise CnfError(f"{word[:_SHOWN]!r} is no literal", where=place, fix="write whole numbers")
    literal = int(word)
    if abs(literal) > n_vars:
        raise CnfError(
            f"literal {literal}", where=place, fix=f"use at most the header's {n_vars} variables"
        )
    return literal


def write_dimacs(cnf: Cnf) -> str:
    """The text of a formula, a clause a line."""
    lines = [f"p cnf {cnf.n_vars} {len(cnf)}"]
    lines += [" ".join(map(str, [*clause, 0])) for clause in cnf.clauses()]
    return "\n".join(lines) + "\n"
