"""A run from an input to an output that survives `kill -9`, and resumes without a trace.

Rows are appended and flushed to disk block by block; the state then says how many bytes count.
A resumed run cuts the files back to that and goes on with the next block. As each passage draws
from its own random stream, the result is what an uninterrupted run would have written.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import fingerprint, sha256_hex
from bb_core.progress import Progress
from seal import checkpoint
from seal.checkpoint import EDITS, REJECTED, Places, State
from seal.errors import JobError
from seal.generator import PassageEdits, SelfEditGenerator
from seal.passages import Passage
from seal.quality import SeenEdits
from seal.records import Provenance, counts, output_rows, rejected_rows

# Raised whenever rows of one version could not follow rows of another in one file.
FORMAT = 1


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes:
        passages: the whole input.
        places: where to write.
        provenance: what all rows share.
        block: passages between two checkpoints; they are sampled in batches of like length.
        fresh: throw away what an earlier run left.
    """

    passages: Sequence[Passage]
    places: Places
    provenance: Provenance
    block: int = 32
    fresh: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        stats: totals, settings and hashes, as in the statistics file.
        resumed_at: passages that an earlier sitting had finished.
        was_done: whether the very same run was finished before, so that nothing was done.
    """

    stats: dict[str, Any]
    resumed_at: int
    was_done: bool


def run_job(generator: SelfEditGenerator, job: Job) -> Outcome:
    """Generate self-edits for all passages of a job into its files.

    Only one block of results is held in memory.

    Raises:
        JobError: another process writes there, an earlier run with other settings lies there, or
            the disk refuses. What was finished before stays, and the same call resumes.
    """
    name = job_fingerprint(generator, job)
    places = job.places
    with checkpoint.locked(places.partial):
        if job.fresh:
            checkpoint.discard(places)
        state = checkpoint.load_state(places)
        if state is not None and state.job != name:
            raise JobError(
                "an unfinished run with another input, model or settings lies there",
                where=str(places.partial),
                fix="repeat its command to finish it, or throw it away with --fresh",
            )
        finished = None if job.fresh else checkpoint.finished_stats(places, name)
        if finished is not None:
            shutil.rmtree(places.partial)
            return Outcome(finished, len(job.passages), was_done=True)
        if state is None:
            checkpoint.discard(places)
            state = State(name)
        else:
            checkpoint.cut_back(places, state, len(job.passages))
        resumed_at = state.done
        state = _work(generator, job, state)
        stats = _stats(state, generator, job.provenance)
        return Outcome(checkpoint.finish(places, stats), resumed_at, was_done=False)


def job_fingerprint(generator: SelfEditGenerator, job: Job) -> str:
    """Hash of all that decides the output, up to rounding.

    Batch and block size are left out, so that a run stopped for want of memory can go on in
    smaller batches.
    """
    settings = asdict(job.provenance.settings)
    del settings["batch_size"]
    builder = generator.strategy.prompt_builder(generator.settings.num_edits)
    passages = [[p.id, p.title, p.sha256] for p in job.passages]
    return fingerprint(
        {
            "format": FORMAT,
            "passages": sha256_hex(json.dumps(passages).encode("utf-8")),
            "strategy": job.provenance.strategy,
            "prompt": builder.fingerprint,
            "model": job.provenance.model,
            "generation": settings,
            "limits": asdict(generator.limits),
        }
    )


def _work(generator: SelfEditGenerator, job: Job, state: State) -> State:
    """Do the blocks that are left and return the state after the last."""
    seen = _seen_so_far(job.places.partial / EDITS)
    with Progress(len(job.passages), "self-edits") as progress:
        progress.update(state.done)
        while state.done < len(job.passages):
            start_s = time.monotonic()
            results = generator.generate(job.passages[state.done : state.done + job.block], seen)
            state = _checkpoint(job, state, results, time.monotonic() - start_s)
            progress.update(state.done, note=f"{state.totals['edits']} edits")
    return state


def _checkpoint(job: Job, state: State, results: Sequence[PassageEdits], took_s: float) -> State:
    """Append the rows of a block, make them durable, then make them count."""
    edits = [row for result in results for row in output_rows(result, job.provenance)]
    rejected = [row for result in results for row in rejected_rows(result)]
    totals = Counter(state.totals)
    for result in results:
        totals.update(counts(result))
    after = State(
        state.job,
        state.done + len(results),
        checkpoint.append(job.places, EDITS, edits),
        checkpoint.append(job.places, REJECTED, rejected),
        round(state.elapsed_s + took_s, 3),
        dict(totals),
    )
    checkpoint.save_state(job.places, after)
    return after


def _seen_so_far(path: Path) -> SeenEdits:
    """Rebuild the memory of kept edits from the rows that count."""
    seen = SeenEdits()
    if path.exists():
        with open(path, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if row["kind"] == "edit":
                    seen.add(row["edit"])
    return seen


def _stats(state: State, generator: SelfEditGenerator, provenance: Provenance) -> dict[str, Any]:
    totals = Counter(state.totals)
    rejected = {k.partition("/")[2]: n for k, n in totals.items() if k.startswith("rejected/")}
    judged = totals["edits"] + sum(rejected.values())
    return {
        "job": state.job,
        "strategy": provenance.strategy,
        "model_fingerprint": provenance.model,
        "generation": asdict(provenance.settings),
        "limits": asdict(generator.limits),
        "passages": totals["passages"],
        "edits": totals["edits"],
        "originals": totals["originals"],
        "blank_passages": totals["blank_passages"],
        "cut_passages": totals["cut_passages"],
        "edits_per_passage": round(totals["edits"] / max(1, totals["passages"]), 3),
        "rejected": rejected,
        "rejected_share": round(sum(rejected.values()) / max(1, judged), 4),
        "answers": totals["attempts"],
        "tokens": totals["tokens"],
        "elapsed_s": state.elapsed_s,
    }
