"""BAD unreachable as a patch of a machine: lemmas found, proved, applied, kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.cli import main as cli
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import expert_from_expressions
from bem_kernel.experts.place import state_bit
from bem_kernel.experts.table import ExpertTable
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply, undo
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import Invariant, Kind, Patch, Predicate
from bem_kernel.patches.propose import drafted, propose_add, propose_invariants, propose_retire
from bem_kernel.patches.reachability import BadRun, propose_kept
from bem_kernel.patches.verify import Proved, Refuted, verify

BITS = {"confirmed": 0, "paid": 1, "refunded": 2, "bad": 3, "noise": 4}


def predicate(text: str, *names: str) -> Predicate:
    return Predicate(tuple(BITS[n] for n in names), compile_expressions([text], names))


NOT_BAD = Invariant("!bad", predicate("!bad", "bad"))
PAID_FIRST = Invariant("paid first", predicate("!refunded | paid", "refunded", "paid"))


TRIVIAL = Invariant("trivial", predicate("true"))


@pytest.fixture
def log(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log.jsonl")


def carried_out(table: ExpertTable, patch: Patch | BadRun, log: Ledger) -> None:
    assert isinstance(patch, Patch), patch
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved), verdict
    apply(table, patch, verdict.certificate, log)


@pytest.fixture
def table() -> ExpertTable:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8, "lanes": 70}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    for name, assignments in (
        ("pay", {"paid": "true", "noise": "!noise"}),
        ("refund", {"refunded": "paid & confirmed", "bad": "bad | (refunded & !paid)"}),
    ):
        table.add(expert_from_expressions(name, assignments, BITS))
    return table


def test_lemmas_are_found_where_bad_alone_is_not_kept(table: ExpertTable, log: Ledger) -> None:
    patch = propose_kept(table, NOT_BAD, reason="safety")
    assert isinstance(patch, Patch)
    assert [each.name for each in patch.invariants] == ["!bad", "!bad: lemmas"]
    carried_out(table, patch, log)
    assert read_invariants(table.memory) == patch.invariants
    refunded = expert_from_expressions("refunded", {"refunded": "true"}, BITS)
    found = verify(table, propose_add(table, refunded, reason="x"))
    assert isinstance(found, Refuted) and "lemmas" in found.claim
    assert isinstance(propose_kept(table, NOT_BAD, coming=[refunded], reason="x"), BadRun)


def test_lemmas_give_way_to_an_expert_that_keeps_what_is_wanted(
    table: ExpertTable, log: Ledger
) -> None:
    holds = predicate("!confirmed & !refunded", "confirmed", "refunded")
    strong = Invariant("!bad: lemmas", holds, lemma=True)
    carried_out(table, propose_invariants(table, [NOT_BAD, strong], reason="safety"), log)
    confirm = expert_from_expressions("confirm", {"confirmed": "true"}, BITS)
    coming = propose_add(table, confirm, reason="x")
    found = verify(table, coming)
    assert isinstance(found, Refuted) and "lemmas" in found.claim
    carried_out(table, propose_kept(table, NOT_BAD, coming=[confirm], reason="x"), log)
    carried_out(table, propose_add(table, confirm, reason="x"), log)
    assert [each.lemma for each in read_invariants(table.memory)] == [False, True]


def test_undo_into_a_lemma_that_does_not_hold_is_refused(table: ExpertTable, log: Ledger) -> None:
    lemma = Invariant("quiet", predicate("!noise", "noise"), lemma=True)
    pay = next(word for word in table if table.expert(word).name == "pay")
    carried_out(table, propose_retire(table, [pay], reason="it makes noise"), log)
    carried_out(table, propose_invariants(table, [lemma], reason="x"), log)
    others = Patch(Kind.INVARIANT, "", "", "x", invariants=(PAID_FIRST,))
    carried_out(table, drafted(table, others), log)
    assert read_invariants(table.memory) == (PAID_FIRST,)
    table.memory.planes[BITS["noise"]] = np.uint64(2)
    with pytest.raises(PatchError, match="invariant quiet: does not hold in lane 1 now"):
        undo(table, log)
    table.memory.planes[BITS["noise"]] = np.uint64(0)
    undo(table, log)
    assert read_invariants(table.memory) == (lemma,)


def test_only_lemmas_may_be_dropped(table: ExpertTable, log: Ledger) -> None:
    carried_out(table, propose_invariants(table, [PAID_FIRST], reason="x"), log)
    others = Patch(Kind.INVARIANT, "", "", "x", invariants=(TRIVIAL,))
    found = verify(table, drafted(table, others))
    assert isinstance(found, Refuted)
    assert found.claim == "the invariant 'paid first' follows from the new ones"


def test_a_run_to_bad_is_shown(table: ExpertTable) -> None:
    table.add(expert_from_expressions("unpay", {"paid": "false"}, BITS))
    table.memory.planes[BITS["confirmed"], 1] = np.uint64(4)  # lane 66 only
    run = propose_kept(table, NOT_BAD, reason="safety")
    assert isinstance(run, BadRun)
    assert [name for name in run.experts if name != "pay"][-3:] == ["refund", "unpay", "refund"]
    assert len(run.states) == len(run.experts) + 1
    assert state_bit(BITS["confirmed"]) in run.states[0]
    assert state_bit(BITS["bad"]) in run.states[-1]
    assert state_bit(BITS["bad"]) not in run.states[-2]


def test_the_states_of_all_lanes_count(table: ExpertTable) -> None:
    table.memory.planes[BITS["bad"], 1] = np.uint64(1 << 5)  # lane 69
    run = propose_kept(table, NOT_BAD, reason="safety")
    assert isinstance(run, BadRun) and run.experts == ()
    table.memory.planes[BITS["bad"], 1] = np.uint64(1 << 6)  # padding
    assert isinstance(propose_kept(table, NOT_BAD, reason="safety"), Patch)


def test_invariants_that_are_kept_are_known(table: ExpertTable, log: Ledger) -> None:
    for wanted in (PAID_FIRST, NOT_BAD):
        carried_out(table, propose_kept(table, wanted, reason="safety"), log)
    assert read_invariants(table.memory) == (PAID_FIRST, NOT_BAD)


def test_too_few_questions(table: ExpertTable) -> None:
    with pytest.raises(PatchError, match="invariant !bad: not decided after 2 questions"):
        propose_kept(table, NOT_BAD, reason="safety", questions=2)


def test_from_the_command_line(
    table: ExpertTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def bem(*args: str) -> tuple[int, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["bem", "patch", *args])
            with pytest.raises(SystemExit) as stop:
                cli.main()
        return int(stop.value.code or 0), capsys.readouterr().err

    table.memory.planes[BITS["confirmed"]] = np.uint64(1)
    image, out = str(tmp_path / "shop.image"), str(tmp_path / "safe.json")
    save_image(table.memory, tmp_path / "shop.image")
    options = ("--out", out, "--reason", "safety")
    assert bem("propose", "invariant", image, "--holds", "!s3", "--lemmas", *options)[0] == 0
    assert bem("apply", image, out)[0] == 0
    names = [each.name for each in read_invariants(load_image(tmp_path / "shop.image"))]
    assert names == ["!s3", "!s3: lemmas"]
    holds = ("--holds", "!s2 | !s1")
    code, error = bem("propose", "invariant", image, *holds, "--lemmas", *options)
    assert code == 1
    assert "invariant !s2 | !s1: pay > refund leads to where it does not hold; mend" in error
