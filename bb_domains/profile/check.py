"""`bb domain check` of grammars: what each says, what was lowered, and what to write instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from bb_core.errors import BBError
from bb_domains.domain import GRAMMAR_FILE, Domain
from bb_domains.profile.channels import channel_grammar, read_any
from bb_domains.profile.lint import GrammarFinding, lint_grammar
from bb_domains.profile.lowering import Lowered, lower, mask_grammar
from bb_domains.profile.peg_lowering import PEG_SUFFIX
from bb_domains.profile.source import parse_grammar
from bb_domains.schema import PLAN_CHANNEL

SUFFIXES = (".lark", PEG_SUFFIX)
_Reading = tuple[str, Callable[[], Lowered]]


@dataclass(frozen=True)
class CheckedGrammar:
    """A grammar that can serve mask and parser.

    Attributes:
        channels: the channels whose texts it describes, and how strictly; empty for a mere file.
        facts: its file, start rule, parser and sizes.
        findings: what its two engines would have read differently.
    """

    channels: str
    facts: dict[str, Any]
    findings: tuple[GrammarFinding, ...]

    def as_data(self) -> dict[str, Any]:
        """As JSON data."""
        findings = [{**asdict(finding), "fix": finding.fix} for finding in self.findings]
        channels = {"channels": self.channels} if self.channels else {}
        return {**channels, **self.facts, "findings": findings}

    def lines(self) -> Iterator[str]:
        """As text."""
        for name, value in {"channels": self.channels, **self.facts}.items():
            if value != "":
                yield f"{name.replace('_', ' '):20} {value}"
        for finding in self.findings:
            said = f"{finding.where}: {finding.construct}: {finding.what}"
            yield f"{said} [{finding.outcome}]; {finding.fix}"
        if not self.findings:
            yield "means the same to both engines as it stands"


def is_grammar(where: str) -> bool:
    """Whether a path names a grammar file, or a folder that holds grammars and no domain."""
    path = Path(where)
    if path.suffix in SUFFIXES and not path.is_dir():
        return True
    return path.is_dir() and not (path / "plan_schema.yaml").exists() and bool(_grammars(path))


def _grammars(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def say_grammars(where: str, start: str, as_json: bool) -> None:
    """Check one grammar, or all of a folder, and print what was found.

    Raises:
        BBError: a grammar cannot serve both engines; all of a folder are looked at first.
    """
    path = Path(where)
    files = _grammars(path) if path.is_dir() else [path]

    def reading(file: Path) -> _Reading:
        return "", lambda: lower(read_any(file, start))

    checked, refused = _checked(map(reading, files))
    for grammar in checked:
        for line in [json.dumps(grammar.as_data())] if as_json else grammar.lines():
            typer.echo(line)
    raise_refused(refused)


def check_grammars(domain: Domain) -> tuple[list[CheckedGrammar], list[BBError]]:
    """Check every grammar of a domain: that of its plans, and those of its channels.

    Returns:
        Those that can serve mask and parser, and why the others cannot.
    """
    file = None if domain.root is None else domain.root / GRAMMAR_FILE
    plans_name = str(file) if file and file.exists() else f"{domain.name}: {GRAMMAR_FILE}"

    def plans() -> Lowered:
        return lower(parse_grammar(domain.grammar, "start", plans_name))

    readings: list[_Reading] = [(f"{PLAN_CHANNEL} (hard)", plans)]
    for name, channel in domain.schema.channels.items():
        if channel.grammar:

            def read(name: str = name) -> Lowered:
                return channel_grammar(domain, name)

            readings.append((f"{name} ({channel.mode})", read))
    return _checked(readings)


def _checked(readings: Iterable[_Reading]) -> tuple[list[CheckedGrammar], list[BBError]]:
    checked, refused = list[CheckedGrammar](), list[BBError]()
    for channels, read in readings:
        try:
            lowered = read()
            findings, grammar = lint_grammar(lowered), mask_grammar(lowered)
        except BBError as error:
            refused.append(error)
            continue
        source = lowered.source
        facts = {
            "grammar": source.name,
            "start": source.start,
            "parser": source.engine,
            "rules": len(source.rules),
            "terminals": len(source.terminals),
            "mask_bytes": len(grammar),
        }
        checked.append(CheckedGrammar(channels, facts, tuple(findings)))
    return checked, refused


def raise_refused(refused: list[BBError]) -> None:
    """Say all refusals, and end with the last.

    Raises:
        BBError: there is one.
    """
    for refusal in refused[:-1]:
        typer.echo(f"error: {refusal}", err=True)
    if refused:
        raise refused[-1]
