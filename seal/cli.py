"""The `seal` command: self-edits from passages, with any Hugging Face model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption, run_app

if TYPE_CHECKING:
    from seal.checkpoint import Places
    from seal.job import Outcome

app = typer.Typer(
    help="Self-edits: training data that a model writes out of passages.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _seal() -> None:
    """Self-edits: training data that a model writes out of passages."""


@app.command()
def generate(
    source: Annotated[
        Path, typer.Option("--input", help="Passages: .txt (blank lines between) or .jsonl.")
    ],
    output: Annotated[Path, typer.Option("--output", help="Accepted edits, a .jsonl file.")],
    strategy: Annotated[str, typer.Option(help="How edits are made.")] = "implications",
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of a causal LM.", show_default="the base rail shipped with this"
        ),
    ] = None,
    num_edits: Annotated[int, typer.Option(help="Edits per passage, at most.")] = 5,
    temperature: Annotated[float, typer.Option(help="Sampling temperature.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Probability mass sampled from.")] = 0.95,
    max_new_tokens: Annotated[int, typer.Option(help="Length of an answer, in tokens.")] = 192,
    batch_size: Annotated[int, typer.Option(help="Passages sampled together.")] = 8,
    attempts: Annotated[int, typer.Option(help="Tries until an edit is accepted.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16.")] = "float32",
    checkpoint_every: Annotated[
        int, typer.Option(min=1, help="Passages between two checkpoints.")
    ] = 32,
    fresh: Annotated[bool, typer.Option(help="Throw away what an earlier run left.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Write self-edits for every passage of a file.

    Refused candidates go to OUTPUT.rejected.jsonl with their reasons, totals to OUTPUT.stats.json.
    A passage without an accepted edit is written itself, marked "original". Stopped at any moment,
    the same command resumes; finished, it does nothing.

    Example: seal generate --input notes.txt --output edits.jsonl --num-edits 5
    """
    from seal.checkpoint import check_output
    from seal.job import Job, run_job
    from seal.passages import load_passages
    from seal.records import Provenance
    from seal.settings import GenerationSettings
    from seal.strategies import get_strategy

    settings = GenerationSettings(
        num_edits, temperature, top_p, max_new_tokens, batch_size, attempts, seed
    )
    get_strategy(strategy)
    passages = load_passages(source)
    places = check_output(output, source)

    from transformers.utils import logging as transformers_logging

    from seal.generator import SelfEditGenerator
    from seal.models import load_model, model_fingerprint

    transformers_logging.disable_progress_bar()
    loaded, tokenizer = load_model(model, device, dtype)
    provenance = Provenance(strategy, model_fingerprint(loaded, tokenizer), settings)
    generator = SelfEditGenerator(loaded, tokenizer, strategy, settings)
    outcome = run_job(generator, Job(passages, places, provenance, checkpoint_every, fresh))
    _report(outcome, places, json_output)


def main() -> None:
    """Run the `seal` command and exit the process."""
    run_app(app, "seal")


def _report(outcome: Outcome, places: Places, json_output: bool) -> None:
    stats = outcome.stats
    files = {
        "output": str(places.output),
        "rejected_file": str(places.rejected),
        "stats_file": str(places.stats),
    }
    if json_output:
        import json

        typer.echo(json.dumps({**stats, **files, "was_done": outcome.was_done}))
        return
    if outcome.was_done:
        typer.echo("nothing to do: the output is that of this very command (--fresh does it again)")
    elif outcome.resumed_at:
        typer.echo(f"resumed after passage {outcome.resumed_at}")
    typer.echo(_summary(stats))
    typer.echo(f"written: {', '.join(files.values())}")


def _summary(stats: dict[str, Any]) -> str:
    refused = ", ".join(f"{name} {n}" for name, n in sorted(stats["rejected"].items()))
    lines = [
        f"{stats['passages']} passages, {stats['edits']} edits accepted "
        f"({stats['edits_per_passage']} per passage)",
        f"refused: {refused or 'none'}",
        f"originals kept for want of an edit: {stats['originals']}; blank passages: "
        f"{stats['blank_passages']}; cut to the model's context: {stats['cut_passages']}",
        f"{stats['answers']} answers, {stats['tokens']} tokens, {stats['elapsed_s']} s",
    ]
    return "\n".join(lines)
