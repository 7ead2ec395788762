"""Steps of a long job: numbered on the terminal, timed, and reused while their inputs are equal.

A step's key is the fingerprint of everything it is a function of: its configuration, the source
code it runs, and the keys or hashes of what came before. A finished step leaves one JSON file
with its key and result; a step that was interrupted leaves none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bb_core.canonical import canonical_json, file_sha256, fingerprint
from bb_core.files import read_json, write_atomic
from bb_core.progress import format_seconds


@dataclass(frozen=True)
class StepBook:
    """Remembers finished steps in `folder`."""

    folder: Path

    def result(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The result of step `name`: the remembered one if its inputs are equal, else a new one.

        Args:
            name: file name of the memory.
            inputs: JSON value; everything the result is a function of.
            make: does the work. Its result may name files under `files`; the result is reused
                only while they are unchanged.

        Returns:
            The result; `reused` says which it is.
        """
        key = fingerprint(inputs)
        path = self.folder / f"{name}.json"
        if path.exists():
            found = read_json(path)
            if found["key"] == key and _unchanged(found["files"]):
                return {**found["result"], "reused": True}
        path.unlink(missing_ok=True)
        result = make()
        files = {file: file_sha256(file) for file in result.get("files", [])}
        write_atomic(path, canonical_json({"key": key, "files": files, "result": result}))
        return {**result, "reused": False}


def _unchanged(files: Mapping[str, str]) -> bool:
    return all(Path(name).is_file() and file_sha256(name) == sha for name, sha in files.items())


def code_fingerprint(*modules: str) -> str:
    """SHA-256 over the source files of packages and modules, by name and content."""
    files: dict[str, str] = {}
    for module in modules:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(module)
        origin = Path(spec.origin)
        paths = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
        for path in paths:
            files[f"{module}:{path.relative_to(origin.parent)}"] = file_sha256(path)
    return fingerprint(files)


@contextmanager
def announced(number: int, of: int, title: str) -> Iterator[Callable[[str], None]]:
    """Print a step's heading, then its lines, then how long it took.

    Yields:
        A function that prints one line of the step.
    """
    started = time.monotonic()
    _print(f"[{number}/{of}] {title}")
    yield lambda line: _print(f"      {line}")
    _print(f"      {format_seconds(time.monotonic() - started)}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
