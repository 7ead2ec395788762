"""Traces one at a time: data that does not fit into memory, shuffled through a buffer.

The order is a function of file, buffer and seed alone, so a resumed run goes on where it was: it
draws and drops what was trained on, without reading more of it than the line.

Sources: a JSONL file (`bb_core/trace.schema.json`), or a dataset of Hugging Face's `datasets`
where that package is installed, with one column for each field of a trace. Columns that hold
objects may hold them as JSON text, since a table gives all rows of a column one type.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np

from bb_core.canonical import file_sha256
from bb_core.errors import BBError
from bb_core.trace import Trace, decode_trace, trace_from_json, trace_lines
from bb_train.config import DataConfig
from bb_train.data import Example

Item = tuple[str, Any]
"""Where it is (file and line, or dataset and row), and the line or row as it stands."""

_OBJECTS = ("steps", "state_before", "state_after", "label")


def raw_items(data: DataConfig) -> Iterator[Item]:
    """One pass over the source, at most `data.limit` items.

    Raises:
        BBError: the source cannot be read; the package `datasets` is needed and missing.
    """
    return islice(_dataset_rows(data) if data.source == "datasets" else _lines(data), data.limit)


def decoded(item: Item) -> Trace:
    """The trace of an item.

    Raises:
        BBError: it is no trace; names file and line, or dataset and row.
    """
    where, raw = item
    if isinstance(raw, str):
        return decode_trace(raw, where=where)
    return trace_from_json(_plain(raw, where), where=where)


def shuffled(items: Iterable[Any], buffer: int, rng: np.random.Generator) -> Iterator[Any]:
    """All items, each drawn from the `buffer` items that wait."""
    waiting: list[Any] = []
    for item in items:
        if len(waiting) < buffer:
            waiting.append(item)
            continue
        place = int(rng.integers(buffer))
        waiting[place], item = item, waiting[place]
        yield item
    for place in rng.permutation(len(waiting)):
        yield waiting[place]


def stream_batches(
    epoch: Callable[[], Iterable[Item]],
    encode: Callable[[Trace, str], Example],
    *,
    batch_size: int,
    buffer: int,
    seed: int,
    skip: int,
) -> Iterator[list[Example]]:
    """Batches without end, epoch after epoch.

    Args:
        epoch: starts one pass over the source.
        encode: makes an example of a trace and its place.
        batch_size: rows of a global batch.
        buffer: items among which each is drawn.
        seed: of the draws; each epoch has its own.
        skip: batches that were trained on already.

    Raises:
        BBError: the source is empty; an item is no trace.
    """
    items = chain.from_iterable(_epochs(epoch, buffer, seed))
    for _ in islice(items, skip * batch_size):
        pass
    while True:
        batch = list(islice(items, batch_size))
        yield [encode(decoded(item), item[0]) for item in batch]


def source_sha256(data: DataConfig) -> str:
    """What identifies the data in a run's record."""
    if data.source == "jsonl":
        return file_sha256(data.train)
    found = _load_dataset(data)
    return hashlib.sha256(f"{found.info.dataset_name} {found._fingerprint}".encode()).hexdigest()


def _epochs(
    epoch: Callable[[], Iterable[Item]], buffer: int, seed: int
) -> Iterator[Iterator[Item]]:
    for number in count():
        passing = iter(epoch())
        first = next(passing, None)
        if first is None:
            raise BBError("there are no examples", where="training data", fix="make more traces")
        rng = np.random.default_rng([seed, number])
        yield shuffled(chain([first], passing), buffer, rng)


def _lines(data: DataConfig) -> Iterator[Item]:
    return ((f"{data.train}:{number}", line) for number, line in trace_lines(data.train))


def _dataset_rows(data: DataConfig) -> Iterator[Item]:
    found = _load_dataset(data)
    return ((f"{data.train}[{data.split}]: row {n}", row) for n, row in enumerate(found))


def _load_dataset(data: DataConfig) -> Any:
    try:
        import datasets
    except ModuleNotFoundError:
        raise BBError(
            "needs the package datasets", where="data.source: datasets",
            fix="pip install datasets, or write the traces as JSONL and set data.source to jsonl",
        ) from None  # fmt: skip
    name = str(data.train)
    try:
        if (Path(name) / "dataset_info.json").exists() or (
            Path(name) / "dataset_dict.json"
        ).exists():
            found = datasets.load_from_disk(name)
            return found[data.split] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(name, split=data.split)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BBError(
            f"the dataset cannot be loaded ({reason})", where=f"{name}[{data.split}]",
            fix="check its name or folder, and data.split",
        ) from error  # fmt: skip


def _plain(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A row with its JSON text decoded, in the steps too."""
    made = {name: _decoded(row[name], where) if name in _OBJECTS else row[name] for name in row}
    if isinstance(made.get("steps"), list):
        made["steps"] = [_plain_step(step, where) for step in made["steps"]]
    return made


def _plain_step(step: Any, where: str) -> Any:
    if not isinstance(step, dict):
        return step
    return {k: _decoded(v, where) if k == "args" else v for k, v in step.items()}


def _decoded(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise BBError(
            f"a column of objects holds text that is no JSON ({error.msg})", where=where,
            fix="store the object as JSON text",
        ) from error  # fmt: skip
