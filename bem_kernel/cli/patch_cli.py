"""`bem patch`: verified changes of a machine on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bb_core.cli import JsonOption
from bb_core.errors import UsageError
from bem_kernel.cli import improve_cli, region_cli

if TYPE_CHECKING:
    from bem_kernel.circuits.circuit import Circuit
    from bem_kernel.experts.expert import Expert
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.patches.certificate import Certificate
    from bem_kernel.patches.patch import Invariant, Patch, Scope
    from bem_kernel.patches.store import PatchStore

app = typer.Typer(no_args_is_help=True, help="Verified changes of a machine on disk.")

region_cli.add_commands(app)
improve_cli.add_commands(app)

_PROVENANCE = (("by", "bem patch propose"),)

ImageArgument = Annotated[Path, typer.Argument(help="The machine's image.")]
PatchArgument = Annotated[Path, typer.Argument(help="The patch, as `propose` wrote it.")]
KindArgument = Annotated[
    Literal["replace", "split", "merge", "retire", "add", "remap", "invariant"],
    typer.Argument(help="What the patch does."),
]


@app.command("propose")
def patch_propose(
    kind: KindArgument,
    image: ImageArgument,
    out: Annotated[Path, typer.Option("--out", help="Write the patch here.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for people.")],
    expert: Annotated[
        list[str] | None,
        typer.Option("--expert", help="An expert by name or 0x… identifier; may be repeated."),
    ] = None,
    circuit: Annotated[
        Path | None,
        typer.Option("--circuit", help="replace: a circuit record; default: its own, simplified."),
    ] = None,
    bit: Annotated[int | None, typer.Option("--bit", min=0, help="split: the state bit.")] = None,
    keep_octaves: Annotated[
        int,
        typer.Option("--keep-octaves", min=0, max=1 << 20, help="split: keep the parent, halved."),
    ] = 0,
    program: Annotated[
        Path | None, typer.Option("--program", help="add: a program that has the expert.")
    ] = None,
    holds: Annotated[
        str | None,
        typer.Option("--holds", help="invariant: what every step is to keep, such as '!s7'."),
    ] = None,
    lemmas: Annotated[
        bool, typer.Option("--lemmas", help="invariant: search for others that it needs.")
    ] = False,
    care: Annotated[
        str | None,
        typer.Option("--care", help="Where old and new have to agree, such as 's0 & !s3'."),
    ] = None,
) -> None:
    """Write a patch for a machine; nothing is changed, and nothing is believed yet.

    merge joins two cases of one expert; remap puts the experts used most first. What a run teaches
    is proposed by `bem patch improve` and `bem patch mine`, from its log.

    Example: bem patch propose split door.image --expert open --bit 3 --reason "locked doors"
    --out split.json
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.patches.record import patch_record

    table = _load_table(image)
    _check_experts(kind, len(expert or []))
    if kind == "add":
        patch = _addition(table, program, (expert or [])[0], reason)
    elif kind == "invariant":
        patch = _invariant_patch(table, holds, reason, lemmas=lemmas)
    elif kind == "split":
        patch = _split(
            table, (expert or [])[0], bit, keep_octaves, scope=_scope(care), reason=reason
        )
    else:
        words = [_find(table, name) for name in expert or []]
        patch = _rearrangement(kind, table, words, circuit, scope=_scope(care), reason=reason)
    write_atomic(out, canonical_json(patch_record(patch)) + b"\n")
    typer.echo(f"{_described(patch)}: {patch.before[:16]} -> {patch.after[:16]}")


@app.command("verify")
def patch_verify(
    image: ImageArgument,
    patch: PatchArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the proofs here, as evidence.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Prove that a patch is right for a machine, or log a counterexample and exit with 1.

    Example: bem patch verify door.image split.json --out split.evidence.json
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.patches.evidence import evidence_record
    from bem_kernel.patches.store import PatchStore
    from bem_kernel.patches.verify import Proved, Refuted, counterexample_record, verify

    with PatchStore(image) as store:
        change = _load_patch(patch)
        verdict = verify(store.table, change, log=store.log)
    record: dict[str, Any] = {"patch": change.fingerprint, "proved": isinstance(verdict, Proved)}
    if isinstance(verdict, Proved):
        count = len(verdict.evidence.proofs)
        text = f"proved; {count} obligations"
        record["obligations"] = count
        if out is not None:
            write_atomic(out, canonical_json(evidence_record(verdict.evidence)) + b"\n")
    else:
        record["claim"] = verdict.claim
        text = f"not so: {verdict.claim}"
        if isinstance(verdict, Refuted):
            values = counterexample_record(verdict)
            record["counterexample"] = values
            text += "\n" + " ".join(f"{name}={value}" for name, value in values.items())
    typer.echo(json.dumps(record) if json_output else text)
    if not isinstance(verdict, Proved):
        raise typer.Exit(1)


@app.command("apply")
def patch_apply(
    image: ImageArgument,
    patch: PatchArgument,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", help="Proofs to check; without them the patch is proved anew."),
    ] = None,
) -> None:
    """Apply a patch to a machine, once its proofs have been checked; all or nothing.

    Example: bem patch apply door.image split.json --evidence split.evidence.json
    """
    from bb_core.files import read_json
    from bem_kernel.patches.certificate import certify
    from bem_kernel.patches.evidence import evidence_from_record
    from bem_kernel.patches.store import PatchStore

    with PatchStore(image) as store:
        change = _load_patch(patch)
        if evidence is None:
            certificate = _proved(store, change)
        else:
            proofs = evidence_from_record(read_json(evidence), str(evidence))
            certificate = certify(store.table, change, proofs)
        index = store.apply(change, certificate)
    typer.echo(f"entry {index}: {_described(change)}; structure {change.after[:16]}")


@app.command("undo")
def patch_undo(image: ImageArgument) -> None:
    """Take the last patch in force back; all or nothing.

    Example: bem patch undo door.image
    """
    from bem_kernel.patches.store import PatchStore

    with PatchStore(image) as store:
        change = store.undo()
    typer.echo(f"undone: {_described(change.patch)}; structure {change.patch.before[:16]}")


@app.command("log")
def patch_log(image: ImageArgument, json_output: JsonOption = False) -> None:
    """List the patches in force, the first one first; each entry is checked against the chain.

    Example: bem patch log door.image
    """
    from bem_kernel.ledger.chain import read_entries
    from bem_kernel.patches.history import history
    from bem_kernel.patches.record import patch_record
    from bem_kernel.patches.store import log_path

    path = log_path(image)
    for change in history(read_entries(path), str(path)).applied:
        if json_output:
            typer.echo(json.dumps({"entry": change.index, "patch": patch_record(change.patch)}))
        else:
            leads = f"{change.before[:16]} -> {change.after[:16]}"
            described = _described(change.patch)
            typer.echo(f"entry {change.index}: {described}: {leads}: {change.patch.reason}")


def _addition(table: ExpertTable, program: Path | None, name: str, reason: str) -> Patch:
    from bem_kernel.patches.propose import propose_add

    expert = _program_expert(program, name)
    return propose_add(table, expert, reason=reason, provenance=_PROVENANCE)


def _invariant_patch(table: ExpertTable, holds: str | None, reason: str, *, lemmas: bool) -> Patch:
    from bem_kernel.errors import PatchError
    from bem_kernel.patches.propose import propose_invariants
    from bem_kernel.patches.reachability import BadRun, propose_kept

    wanted = _invariant(holds)
    if lemmas:
        found = propose_kept(table, wanted, reason=reason, provenance=_PROVENANCE)
        if isinstance(found, BadRun):
            raise PatchError(
                f"{' > '.join(found.experts) or 'no step'} leads to where it does not hold",
                where=f"invariant {wanted.name}",
                fix="mend or split these experts first",
            )
        return found
    return propose_invariants(table, [wanted], reason=reason, provenance=_PROVENANCE)


def _split(
    table: ExpertTable, name: str, bit: int | None, octaves: int, *, scope: Scope, reason: str
) -> Patch:
    from bem_kernel.patches.propose import OCTAVE_Q16, propose_split

    if bit is None:
        raise UsageError("no bit to split on", where="--bit", fix="name a state bit")
    return propose_split(
        table,
        _find(table, name),
        bit,
        keep_charge_q16=octaves * OCTAVE_Q16,
        scope=scope,
        reason=reason,
        provenance=_PROVENANCE,
    )


def _rearrangement(
    kind: Literal["replace", "merge", "retire", "remap"],
    table: ExpertTable,
    words: list[int],
    circuit: Path | None,
    *,
    scope: Scope,
    reason: str,
) -> Patch:
    """A patch of the experts that are there."""
    from bem_kernel.patches.propose import (
        propose_merge,
        propose_remap,
        propose_replace,
        propose_retire,
    )

    said: Any = {"reason": reason, "provenance": _PROVENANCE}
    match kind:
        case "replace":
            new = _circuit(table, words[0], circuit)
            return propose_replace(table, words[0], new, scope=scope, **said)
        case "merge":
            return propose_merge(table, words, _joined(table, words), scope=scope, **said)
        case "retire":
            return propose_retire(table, words, **said)
        case "remap":
            visits = {word: table.statistics(word).visits for word in table}
            return propose_remap(table, sorted(table, key=lambda word: -visits[word]), **said)


def _described(patch: Patch) -> str:
    """What a patch does, in a few words."""
    gone = [f"{word:#010x}" for word in patch.removed]
    come = [f"{entry.expert.name!r} ({entry.identifier:#010x})" for entry in patch.added]
    parts = [patch.kind.value]
    parts += [f"{len(patch.order)} experts"] if patch.order else []
    parts += [", ".join(each.name for each in patch.invariants)] if patch.invariants else []
    parts += [str(patch.region)] if patch.region is not None else []
    parts += [", ".join(gone)] if gone else []
    return " ".join(parts) + (f" with {', '.join(come)}" if come else "")


def _load_table(image: Path) -> ExpertTable:
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.memory.image import load_image

    return ExpertTable(load_image(image))


def _load_patch(file: Path) -> Patch:
    from bb_core.files import read_json
    from bem_kernel.patches.record import patch_from_record

    return patch_from_record(read_json(file), str(file))


def _proved(store: PatchStore, patch: Patch) -> Certificate:
    from bem_kernel.errors import PatchError
    from bem_kernel.patches.verify import Proved, verify

    verdict = verify(store.table, patch, log=store.log)
    if not isinstance(verdict, Proved):
        raise PatchError(
            f"not so: {verdict.claim}",
            where="patch",
            fix="see the counterexample with bem patch verify",
        )
    return verdict.certificate


def _find(table: ExpertTable, name: str) -> int:
    """An expert by name or identifier."""
    if name.startswith("0x"):
        try:
            word = int(name, 16)
        except ValueError as error:
            raise UsageError(
                f"{name!r} is no identifier", where="--expert", fix="write 0x and hex digits"
            ) from error
        table.slots.slot(word)  # which refuses what is not there
        return word
    return table.find(name)


def _check_experts(kind: str, count: int) -> None:
    least, most = {
        "merge": (2, 2),
        "retire": (1, 1 << 20),
        "remap": (0, 0),
        "invariant": (0, 0),
    }.get(kind, (1, 1))
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} or more"
        raise UsageError(f"{count} experts", where="--expert", fix=f"{kind} takes {wanted}")


def _scope(care: str | None) -> Scope:
    from bem_kernel.patches.patch import EVERYWHERE, Scope

    return EVERYWHERE if care is None else Scope(*_predicate(care, "--care"))


def _invariant(text: str | None) -> Invariant:
    from bem_kernel.patches.patch import Invariant, Predicate

    if text is None:
        raise UsageError("no invariant", where="--holds", fix="write one, such as '!s7'")
    return Invariant(" ".join(text.split()), Predicate(*_predicate(text, "--holds")))


def _predicate(text: str, option: str) -> tuple[tuple[int, ...], Circuit]:
    """State bits and a circuit of them, from an expression over s0, s1, s2 …."""
    from bem_kernel.circuits.expression import atoms, compile_expressions

    names = list(dict.fromkeys(atoms(text)))
    for name in names:
        if not name.startswith("s") or not name[1:].isdecimal() or len(name) > 12:
            raise UsageError(f"{name!r} is no bit", where=option, fix="write s0, s1, s2 …")
    return tuple(int(name[1:]) for name in names), compile_expressions([text], names)


def _circuit(table: ExpertTable, word: int, file: Path | None) -> Circuit:
    from bb_core.files import read_json
    from bem_kernel.circuits.builder import simplify
    from bem_kernel.circuits.record import circuit_from_record

    if file is None:
        return simplify(table.expert(word).circuit)
    return circuit_from_record(read_json(file), str(file))


def _joined(table: ExpertTable, words: list[int]) -> Expert:
    from bem_kernel.patches.fold import joined

    return joined(table.expert(words[0]), table.expert(words[1]))


def _program_expert(file: Path | None, name: str) -> Expert:
    from bem_kernel.isa.files import load_program

    if file is None:
        raise UsageError("no program", where="--program", fix="name one that has the expert")
    program = load_program(file)
    for expert in program.experts:
        if expert.name == name:
            return expert
    raise UsageError(f"no expert {name!r} in {file}", where="--expert", fix="name another")
