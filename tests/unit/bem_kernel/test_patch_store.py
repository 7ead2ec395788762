"""A machine on disk and the log of its patches, also under kill -9."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bb_core.errors import BBError
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import ImageError, LedgerError, PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.assembler import assemble
from bem_kernel.ledger.chain import Ledger, read_entries, verify
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.patches import store as store_module
from bem_kernel.patches.certificate import Certificate
from bem_kernel.patches.edits import Trace
from bem_kernel.patches.history import apply_entry, history
from bem_kernel.patches.patch import Patch
from bem_kernel.patches.program import install_program
from bem_kernel.patches.propose import propose_remap, propose_replace, propose_split
from bem_kernel.patches.store import PatchStore, log_path
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.verify import Proved
from bem_kernel.patches.verify import verify as verify_patch

LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))

WRITER = """
import sys
from bem_kernel.patches.program import read_program
from bem_kernel.patches.propose import propose_region, propose_remap, propose_replace
from bem_kernel.patches.region import difference
from bem_kernel.patches.store import PatchStore
from bem_kernel.patches.verify import verify
from tests_circuits import CODE, LONG, SHORT
with PatchStore(sys.argv[1]) as store:
    print("ready", flush=True)
    while True:
        table = store.table
        word = table.find("sum")
        other = SHORT if table.expert(word).circuit == LONG else LONG
        now = read_program(table.memory).program
        region = difference(now, CODE[now == CODE[0]])
        for patch in (
            propose_replace(table, word, other, reason="x"),
            lambda: propose_region(table, region, reason="x"),
            lambda: propose_remap(table, list(table)[::-1], reason="x"),
        ):
            patch = patch() if callable(patch) else patch
            store.apply(patch, verify(table, patch).certificate)
        store.undo()
        print("done", flush=True)
"""
CIRCUITS = """
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.isa.assembler import assemble
CODE = tuple(
    assemble(f".bits a\\n {code}\\n")
    for code in ("ADD r1, r2, r2", "MUL r1, r2, 1\\n ADD r1, r1, r2")
)
LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes))
    table = ExpertTable(memory)
    for name in ("sum", "b", "c"):
        table.add(Expert(name, (0, 1), LONG, (2,)))
    install_program(table, assemble(".bits a\n ADD r1, r2, r2\n"))
    save_image(memory, tmp_path / "machine.image")
    return tmp_path / "machine.image"


def certified(store: PatchStore, patch: Patch) -> Certificate:
    verdict = verify_patch(store.table, patch)
    assert isinstance(verdict, Proved)
    return verdict.certificate


def structure_of(image: Path) -> str:
    return structure_hash(ExpertTable(load_image(image)))


def test_patches_outlive_the_process(image: Path) -> None:
    with PatchStore(image) as store:
        first = propose_replace(store.table, store.table.find("sum"), SHORT, reason="smaller")
        store.apply(first, certified(store, first))
        second = propose_split(store.table, store.table.find("b"), 4, reason="cases")
        store.apply(second, certified(store, second))
        with pytest.raises(LedgerError, match="another writer holds this ledger"):
            PatchStore(image)
    assert structure_of(image) == second.after
    with PatchStore(image) as store:
        assert [change.patch for change in store.history.applied] == [first, second]
        assert store.undo().patch == second
    with PatchStore(image) as store:
        assert [change.patch for change in store.history.applied] == [first]
        store.undo()
    assert structure_of(image) == first.before
    assert verify(log_path(image)).entries == 5


@pytest.mark.parametrize("undoing", [False, True])
def test_a_change_that_only_the_log_has_is_finished(
    image: Path, monkeypatch: pytest.MonkeyPatch, undoing: bool
) -> None:
    with PatchStore(image) as store:
        patch = propose_split(store.table, store.table.find("b"), 4, reason="cases")
        certificate = certified(store, patch)
        if undoing:
            store.apply(patch, certificate)
        with monkeypatch.context() as full:
            full.setattr(store_module, "save_image", no_space)
            with pytest.raises(BBError, match="no space"):
                store.undo() if undoing else store.apply(patch, certificate)
    before, after = (patch.after, patch.before) if undoing else (patch.before, patch.after)
    assert structure_of(image) == before
    (image.parent / f".{image.name}.k1lled_x").write_bytes(b"left by a writer that was killed")
    entries = len(list(read_entries(log_path(image))))
    with PatchStore(image) as store:
        assert structure_hash(store.table) == after
    assert structure_of(image) == after
    assert len(list(read_entries(log_path(image)))) == entries
    assert sorted(file.name for file in image.parent.iterdir()) == [
        "machine.image",
        "machine.image.patches.jsonl",
    ]


def no_space(memory: Memory, path: Path) -> str:
    raise BBError("no space", where=str(path))


def test_an_image_and_a_log_of_two_machines(image: Path, tmp_path: Path) -> None:
    with PatchStore(image) as store:
        patch = propose_remap(store.table, list(store.table)[::-1], reason="x")
        store.apply(patch, certified(store, patch))
        store.table.live[0] = 0  # past all patches, straight in memory
        save_image(store.memory, image)
    with pytest.raises(PatchError, match=r"has structure [0-9a-f]{16}, its log leads to"):
        PatchStore(image)
    with pytest.raises(ImageError, match="none: cannot be read"):
        PatchStore(tmp_path / "none")
    assert not log_path(tmp_path / "none").exists()


def test_a_logged_patch_that_is_wrong_is_not_finished(image: Path) -> None:
    """Whoever can write the log can not make the machine follow it."""
    with PatchStore(image) as store:
        wrong = Circuit(2, (Gate(Op.OR, 0, 1),), (2,))
        patch = propose_replace(store.table, store.table.find("sum"), wrong, reason="wrong")
        good = propose_replace(store.table, store.table.find("sum"), SHORT, reason="smaller")
        store.log.append(apply_entry(patch, certified(store, good), Trace()))
    with pytest.raises(PatchError, match=r"patches.jsonl: entry 1 is not proved; restore"):
        PatchStore(image)
    assert structure_of(image) == patch.before


def kill_while_patching(image: Path, random: Random, seconds: float) -> None:
    """Run the writer and kill it at some moment after it has begun."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(image)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{image.parent}:{Path(__file__).parents[3]}", "PATH": ""},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for _ in range(random.randrange(3)):
            child.stdout.readline()
        try:
            child.wait(random.random() * seconds)
        except subprocess.TimeoutExpired:
            child.kill()


def check_after_kill(image: Path) -> int:
    """The image is whole and is before or after the last change; opening makes the log agree."""
    ledger = log_path(image)
    with Ledger(ledger):
        pass  # cuts a torn record off
    found = history(read_entries(ledger))
    whole = structure_of(image)
    last = found.last
    assert last is None or whole in (last.before, last.after)
    with PatchStore(image) as store:
        now = structure_hash(store.table)
        assert now == (whole if last is None else last.after)
    assert structure_of(image) == now and verify(ledger).ok
    return len(found.applied)


@pytest.mark.parametrize(
    ("kills", "seconds"), [(2, 0.1), pytest.param(200, 0.1, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)
def test_kill_during_apply(image: Path, kills: int, seconds: float) -> None:
    (image.parent / "tests_circuits.py").write_text(CIRCUITS)
    random = Random(kills)
    for _ in range(kills):
        kill_while_patching(image, random, seconds)
        check_after_kill(image)
    assert len(list(read_entries(log_path(image)))) > 1
