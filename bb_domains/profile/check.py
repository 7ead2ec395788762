"""`bb domain check` of a grammar file: what it says, what was lowered, and examples of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from bb_domains.errors import ProfileError
from bb_domains.profile.lint import GrammarFinding, lint_grammar
from bb_domains.profile.lowering import lower, mask_grammar
from bb_domains.profile.peg_lowering import PEG_SUFFIX, read_peg
from bb_domains.profile.source import read_grammar

SUFFIXES = (".lark", PEG_SUFFIX)


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
        ProfileError: a grammar cannot serve both engines; all of a folder are looked at first.
    """
    path = Path(where)
    refused: list[ProfileError] = []
    for file in _grammars(path) if path.is_dir() else [path]:
        try:
            source = (
                read_peg(file, start) if file.suffix == PEG_SUFFIX else read_grammar(file, start)
            )
            lowered = lower(source)
            findings, grammar = lint_grammar(lowered), mask_grammar(lowered)
        except ProfileError as error:
            refused.append(error)
            continue
        facts = {
            "grammar": str(file),
            "parser": source.engine,
            "rules": len(source.rules),
            "terminals": len(source.terminals),
            "mask_bytes": len(grammar),
        }
        if as_json:
            typer.echo(json.dumps({**facts, "findings": [asdict(f) for f in findings]}))
        else:
            _print(facts, findings)
    if refused:
        for refusal in refused[:-1]:
            typer.echo(f"bb: {refusal}", err=True)
        raise refused[-1]


def _print(facts: dict[str, object], findings: list[GrammarFinding]) -> None:
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):20} {value}")
    for finding in findings:
        typer.echo(f"{finding.where}: {finding.construct}: {finding.what} [{finding.outcome}]")
    if not findings:
        typer.echo("means the same to both engines as it stands")
