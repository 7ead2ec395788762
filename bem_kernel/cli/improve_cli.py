"""`bem patch localise|improve|mine`: what a run of a machine on disk teaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bb_core.cli import JsonOption

if TYPE_CHECKING:
    from bem_kernel.patches.localise import Suspect
    from bem_kernel.patches.proposer import Proposal
    from bem_kernel.patches.replay import Playback, Window

ImageArgument = Annotated[Path, typer.Argument(help="An image from before the run.")]
LogOption = Annotated[Path, typer.Option("--log", help="The log that the run wrote.")]
RunOption = Annotated[
    Path, typer.Option("--run", help="How it was run: a record of format bem-run-1.")
]
HorizonOption = Annotated[
    int, typer.Option("--horizon", min=1, help="Steps whose rewards count as a step's doing.")
]
LastOption = Annotated[
    int, typer.Option("--last", min=1, max=4096, help="Steps to study, the last ones.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command("localise")(localise)
    app.command("improve")(improve)
    app.command("mine")(mine)


def localise(
    image: ImageArgument,
    log: LogOption,
    run: RunOption,
    method: Annotated[
        Literal["last", "errors", "replay"],
        typer.Option("--method", help="Last steps, temporal-difference errors, or trials."),
    ] = "replay",
    count: Annotated[int, typer.Option("--count", min=1, help="Most steps to list.")] = 16,
    horizon: HorizonOption = 1,
    last: LastOption = 1024,
    json_output: JsonOption = False,
) -> None:
    """List the steps of a run that mattered most to what was lost.

    Example: bem patch localise door.image --log door.log --run door.json
    """
    from bem_kernel.patches.replay import replay

    playback = replay(_window(image, log, run, last))
    table = playback.machine.table
    names = {choice.step: table.expert(choice.expert).name for choice in playback.trace}
    for suspect in _suspects(playback, method, count, horizon):
        record = {"step": suspect.step, "impact": suspect.impact, "expert": names[suspect.step]}
        text = f"step {suspect.step}: {suspect.impact}: {names[suspect.step]}"
        typer.echo(json.dumps(record) if json_output else text)


def improve(
    image: ImageArgument,
    log: LogOption,
    run: RunOption,
    out: Annotated[Path, typer.Option("--out", help="Write the patch here.")],
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="Write its proofs here.")
    ] = None,
    horizon: HorizonOption = 1,
    last: LastOption = 1024,
    json_output: JsonOption = False,
) -> None:
    """Propose the patch that would have made a run better, and prove it; exit with 1 if none would.

    The run is played again from the image; the patch also fits the image that it ended with.

    Example: bem patch improve door.image --log door.log --run door.json --out better.json
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.patches.evidence import evidence_record
    from bem_kernel.patches.improver import improve as find
    from bem_kernel.patches.proposer import Search
    from bem_kernel.patches.record import patch_record

    finding = find(_window(image, log, run, last), Search(horizon=horizon))
    proposal = finding.proposal
    if proposal is None or finding.evidence is None:
        typer.echo(f"nothing that would have been better; {len(finding.refuted)} refuted")
        raise typer.Exit(1)
    write_atomic(out, canonical_json(patch_record(proposal.patch)) + b"\n")
    if evidence is not None:
        write_atomic(evidence, canonical_json(evidence_record(finding.evidence)) + b"\n")
    typer.echo(_told(proposal, len(finding.refuted), json_output))


def mine(
    image: ImageArgument,
    log: LogOption,
    run: RunOption,
    out: Annotated[Path, typer.Option("--out", help="Write the patch here.")],
    last: LastOption = 1024,
    bits: Annotated[
        list[int] | None,
        typer.Option("--bit", min=0, help="A state bit to look at; default: those written."),
    ] = None,
) -> None:
    """Propose as invariants what held in all of a run and what every expert keeps.

    They bind all later patches: read them before you apply them.

    Example: bem patch mine door.image --log door.log --run door.json --out kept.json
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.patches.mined import propose_mined
    from bem_kernel.patches.record import patch_record
    from bem_kernel.patches.replay import replay, twin_of

    window = _window(image, log, run, last)
    patch = propose_mined(twin_of(window).table, replay(window), bits=bits or ())
    write_atomic(out, canonical_json(patch_record(patch)) + b"\n")
    for invariant in patch.invariants:
        typer.echo(invariant.name)


def _told(proposal: Proposal, refuted: int, json_output: bool) -> str:
    """A proposal for people or machines."""
    patch, pox = proposal.patch, proposal.pox
    if not json_output:
        gain = f"mean loss falls by {pox.regret_q16} / 65536, proved in {pox.clauses} clauses"
        return f"{patch.kind.value}: {patch.reason}; {gain}"
    record = {
        "patch": patch.fingerprint,
        "kind": patch.kind.value,
        "reason": patch.reason,
        "regret_q16": pox.regret_q16,
        "gates": pox.gates,
        "clauses": pox.clauses,
        "refuted": refuted,
    }
    return json.dumps(record)


def _window(image: Path, log: Path, run: Path, last: int) -> Window:
    from bb_core.files import read_json
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.memory.image import load_image
    from bem_kernel.patches.logged import window_from_log
    from bem_kernel.runner.record import run_from_record

    memory = load_image(image)
    settings = run_from_record(read_json(run), ExpertTable(memory), str(run))
    return window_from_log(memory, settings, log, last=last)


def _suspects(
    playback: Playback, method: Literal["last", "errors", "replay"], count: int, horizon: int
) -> tuple[Suspect, ...]:
    from bem_kernel.patches import localise as localisers
    from bem_kernel.patches.trials import Laboratory

    match method:
        case "last":
            return localisers.last_steps(playback.trace, count)
        case "errors":
            return localisers.largest_td_errors(playback.trace, count, playback.limits)
        case "replay":
            return localisers.localise(Laboratory(playback, horizon), count)
