"""Kernels: one declared signature each, refusals, the cache on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bem_kernel import compiled
from bem_kernel.compiled import KERNELS, kernel, load


@pytest.fixture
def fresh() -> Iterator[list[compiled.Kernel]]:
    """Kernels made by a test leave the list again."""
    before = len(KERNELS)
    yield KERNELS
    del KERNELS[before:]


def add_all() -> Any:
    @kernel("uint64(uint64[::1], uint64)")
    def total(values, more):  # type: ignore[no-untyped-def]
        """The sum, modulo 2**64."""
        found = more
        for i in range(values.shape[0]):
            found += values[i]
        return found

    return total


def test_a_kernel_is_noted_with_its_signature(fresh: list[compiled.Kernel]) -> None:
    function = add_all()
    note = fresh[-1]
    assert note.function is function
    assert note.signature == "uint64(uint64[::1], uint64)"
    assert note.name == f"{__name__}.add_all.<locals>.total"
    assert not note.reports
    assert not function.overloads  # compiles at the first call


@pytest.mark.usefixtures("fresh")
def test_integers_convert_and_only_one_signature_is_compiled() -> None:
    function = add_all()
    values = np.array([2, 3], dtype=np.uint64)
    assert function(values, 5) == 10
    assert function(values, 2**64 - 1) == 4  # wraps
    with pytest.raises(OverflowError, match="can't convert negative int to unsigned"):
        function(values, -1)
    assert function(values, np.uint32(1)) == 6
    assert function(values, True) == 6
    assert len(function.overloads) == 1


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("called_before", [False, True])
def test_other_arrays_are_refused(called_before: bool) -> None:
    function = add_all()
    if called_before:
        function(np.zeros(1, np.uint64), 0)
    frozen = np.zeros(4, np.uint64)
    frozen.flags.writeable = False
    others = (frozen, np.zeros(4, np.uint64)[::2], np.zeros(4, np.int64), np.zeros((1, 1), "u8"))
    message = r"do not fit the declared uint64\(uint64\[::1\], uint64\); give writable"
    if called_before:
        message = "No matching definition for argument type"
    for values in others:
        with pytest.raises(TypeError, match=message):
            function(values, 0)
    assert len(function.overloads) == int(called_before)


@pytest.mark.usefixtures("fresh")
def test_kernels_call_kernels_by_their_declared_signatures() -> None:
    inner = add_all()

    @kernel("int64(uint64[::1])")
    def outer(values):  # type: ignore[no-untyped-def]
        return inner(values, np.int32(7))

    assert outer(np.array([1], np.uint64)) == 8
    assert len(inner.overloads) == 1


@pytest.mark.usefixtures("fresh")
def test_threads_may_make_the_first_call_together() -> None:
    function = add_all()
    found: list[int] = []
    values = np.array([2, 3], dtype=np.uint64)
    threads = [threading.Thread(target=lambda: found.append(function(values, 1))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [6] * 6


@pytest.mark.usefixtures("fresh")
def test_loading_compiles_once() -> None:
    function = add_all()
    load(function)
    load(function)
    assert len(function.overloads) == 1


def test_the_fingerprint_changes_with_everything_a_kernel_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)

    def written(name: str, text: str) -> str:
        for memory in (compiled.fingerprint, compiled._source, compiled._imported):
            memory.cache_clear()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return compiled.fingerprint(tmp_path / "kernel.py")

    one = written("kernel.py", "from bem_kernel.far import (\n    near,\n    TABLE,\n)\n")
    two = written("far/__init__.py", "import bem_kernel.tables\n")
    three = written("far/near.py", "def near(): pass\n")
    four = written("tables.py", "TABLE = 1\n")
    five = written("tables.py", "TABLE = 2\nfrom bem_kernel import kernel\n")  # a circle
    assert len({one, two, three, four, five}) == 5
    assert written("stranger.py", "from bem_kernel import kernel\n") == five


def test_the_fingerprint_of_the_interpreter_covers_its_tables_and_vectors() -> None:
    engines = compiled.PACKAGE / "engines"
    files, waiting = set(), [engines / "interpreter.py"]
    while waiting:
        files.add(waiting[0])
        waiting.extend(compiled._imported(waiting.pop(0)) - files)
    assert {engines / "masks.py", engines / "vectors.py"} <= files


@pytest.mark.usefixtures("fresh")
def test_a_folder_that_cannot_be_written_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiled, "_PackageCache", refuse)
    assert add_all()(np.array([4], np.uint64), 1) == 5
