"""`bem learn`: programs from labelled words, and proofs that they are right."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError
from bem_kernel.cli.actions_cli import learning_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bem_kernel.learning.alphabet import Alphabet
    from bem_kernel.learning.automaton import Automaton
    from bem_kernel.learning.examples import Example
    from bem_kernel.learning.reference import CounterAutomaton, Reference
    from bem_kernel.learning.search import Report
    from bem_kernel.learning.template import Learned

    Program = Learned | Automaton | CounterAutomaton


class Method(StrEnum):
    """How to learn from a file."""

    TEMPLATE = "template"
    EXACT = "exact"
    COUNTER = "counter"
    MERGE = "merge"


def add_commands(app: typer.Typer) -> None:
    """Add `learn`."""
    app.add_typer(learning_group(learn), name="learn")


def learn(
    file: Annotated[
        Path | None, typer.Argument(help="Labelled words: a line has 0 or 1, a space, the word.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Learn a named language by asking for verdicts.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Prove the result against this named language.")
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="template: any; exact, merge: automata; counter: with a counter."),
    ] = Method.TEMPLATE,
    width: Annotated[int, typer.Option(min=2, max=1024, help="Cells, of the proof too.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the words that are asked.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the learned program here, as JSON.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw its automaton (at width 2) here.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Learn a program from labelled words, or a named language by questions, and prove it.

    Exit 1 if nothing is found, or if it cannot be proved.

    Example: bem learn words.txt --against dyck-final --svg automaton.svg --out program.json
    """
    if (file is None) == (task is None):
        raise UsageError("a file or a task", where="learn", fix="give one of FILE and --task")
    if file is None and method is not Method.TEMPLATE:
        raise UsageError(f"method {method} asks nobody", where="learn", fix="give it a FILE")
    from bem_kernel.learning.tasks import task as task_named

    reference = task_named(task or against) if task or against else None  # type: ignore[arg-type]
    program, record = (
        _by_questions(task_named(task), width, seed)
        if task is not None
        else _from_file(_given(file), method, (reference, width))
    )
    if program is not None:
        _save(program, width, out, svg)
    typer.echo(json.dumps(record, ensure_ascii=False) if json_output else _shown(record))
    if program is None or (reference is not None and not record["proved"]):
        raise typer.Exit(1)


def _given(file: Path | None) -> Path:
    assert file is not None
    return file


def _by_questions(
    reference: Reference, width: int, seed: int
) -> tuple[Learned | None, dict[str, Any]]:
    from bem_kernel.learning.search import learn_with

    report = learn_with(reference, width=width, seed=seed)
    record = _record(report)
    if report.proof is not None:
        record |= _proved(reference.name, report.proof.width, len(report.proof.invariant))
    return report.program, record


def _from_file(
    file: Path, method: Method, goal: tuple[Reference | None, int]
) -> tuple[Program | None, dict[str, Any]]:
    from bb_core.files import read_text
    from bem_kernel.learning.examples import read_examples
    from bem_kernel.learning.induction import prove_equal
    from bem_kernel.learning.search import learn_passive

    reference, width = goal
    alphabet = None if reference is None else reference.alphabet
    alphabet, examples = read_examples(read_text(file), str(file), alphabet)
    program: Program | None
    if method is Method.TEMPLATE:
        report = learn_passive(alphabet, examples)
        program, record = report.program, _record(report)
    else:
        program, record = _automaton(alphabet, examples, method)
    if program is not None and reference is not None:
        proof = prove_equal(program, reference, width)
        if proof is not None:
            record |= _proved(reference.name, width, len(proof.invariant))
        else:
            record |= {"against": reference.name} | _refuted(program, reference)
    return program, record


def _automaton(
    alphabet: Alphabet, examples: Sequence[Example], method: Method
) -> tuple[Automaton | CounterAutomaton, dict[str, Any]]:
    from bem_kernel.learning.identify import identify
    from bem_kernel.learning.identify_counter import identify_counter
    from bem_kernel.learning.merging import merge_states

    automaton: Automaton | CounterAutomaton
    if method is Method.EXACT:
        automaton = identify(alphabet, examples).automaton
    elif method is Method.COUNTER:
        automaton = identify_counter(alphabet, examples)
    else:
        automaton = merge_states(alphabet, examples)
    record = {"found": True, "chosen_by": "data", "examples": len(examples), "proved": False}
    return automaton, record | {"method": method.value, "states": len(automaton.accept)}


def _record(report: Report) -> dict[str, Any]:
    record: dict[str, Any] = {
        "found": report.program is not None,
        "chosen_by": report.chosen_by,
        "examples": len(report.examples),
        "comparisons": report.comparisons,
        "method": Method.TEMPLATE.value,
        "time_ms": report.time_ms,
        "proved": False,
    }
    if report.program is not None:
        shape = report.program.shape
        record |= {"flags": shape.n_flags, "unknown_bits": shape.n_unknown}
        record["smaller_refused"] = len(report.refusals)
    return record


def _proved(name: str, width: int, statements: int) -> dict[str, Any]:
    return {"proved": True, "against": name, "width": width, "invariant": statements}


def _refuted(program: Program, reference: Reference) -> dict[str, Any]:
    from bem_kernel.learning.product import compare

    found = compare(program, reference, 4)
    word = None if found.difference is None else reference.alphabet.show(found.difference)
    return {"proved": False, "counterexample": word}


def _save(program: Program, width: int, out: Path | None, svg: Path | None) -> None:
    from bb_core.files import write_atomic
    from bem_kernel.circuits.record import circuit_record
    from bem_kernel.learning.automaton import Automaton
    from bem_kernel.learning.automaton_drawing import draw_automaton
    from bem_kernel.learning.template import Learned, learned_record
    from bem_kernel.learning.unfolding import unfold

    if out is not None:
        record: dict[str, Any] = learned_record(program) if isinstance(program, Learned) else {}
        record |= {"width": width, "circuit": circuit_record(program.at(width).circuit)}
        write_atomic(out, json.dumps(record) + "\n")
    if svg is not None:
        automaton, trap = (program, None) if isinstance(program, Automaton) else unfold(program, 2)
        write_atomic(svg, draw_automaton(automaton, trap))


def _shown(record: dict[str, Any]) -> str:
    if not record["found"]:
        return f"nothing found that explains {record['examples']} examples"
    source = "asked for" if record["chosen_by"] == "oracle" else "given"
    lines = [f"learned from {record['examples']} examples, {source}"]
    if "states" in record:
        lines.append(f"{record['states']} states")
    else:
        lines.append(
            f"{record['flags']} flags, {record['unknown_bits']} bits of tables; "
            f"{record['smaller_refused']} smaller shapes refused; {record['time_ms']} ms"
        )
    if record["proved"]:
        lines.append(
            f"proved equal to {record['against']} for all words at width {record['width']}: "
            f"induction over {record['invariant']} statements"
        )
    elif "against" in record:
        word = record["counterexample"]
        shown = "no proof was found" if word is None else f"wrong on {word or 'the empty word'!r}"
        lines.append(f"not equal to {record['against']}: {shown}")
    return "\n".join(lines)
