"""Laws of action models: safe whatever the truth, the more traces the more is admitted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bem_kernel.engines.engine import evaluate
from bem_kernel.experts.expert import step
from bem_kernel.experts.template import Address, bind
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.action_circuits import effect_template, pre_circuit
from bem_kernel.learning.action_model import ActionModel, learn_action
from bem_kernel.learning.action_proof import justify
from bem_kernel.learning.action_traces import Attempt
from bem_kernel.learning.explanation import explain_failures
from bem_kernel.learning.refinement import refine
from bem_kernel.learning.version_space import Clause, States, all_clauses, truth

N = 5
FACTS = tuple(f"f{i}" for i in range(N))
ALL: States = np.array(list(product((False, True), repeat=N)))

rows = st.lists(st.integers(0, 2**N - 1), min_size=1, max_size=40)
effects = st.tuples(st.integers(0, N - 1), st.booleans(), st.sampled_from(all_clauses(N, 2)))


def truths(width: int) -> st.SearchStrategy[list[Clause]]:
    return st.lists(st.sampled_from(all_clauses(N, width)), max_size=4)


def succeeds(clauses: list[Clause], states: States) -> States:
    return truth(clauses, states).all(axis=1)


def traces(clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int]):  # type: ignore[no-untyped-def]
    """Attempts in some states; a success writes one fact where a clause holds."""
    ok = succeeds(clauses, ALL)
    fact, value, when = effect
    after = ALL.copy()
    after[truth([when], ALL)[:, 0], fact] = value
    for row in chosen:
        before = dict(zip(FACTS, ALL[row].tolist(), strict=True))
        later = dict(zip(FACTS, after[row].tolist(), strict=True)) if ok[row] else {}
        yield Attempt("act", before, bool(ok[row]), later)


def learned(clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int], width: int):  # type: ignore[no-untyped-def]
    attempts = list(traces(clauses, effect, chosen))
    return learn_action(attempts, width), attempts


@given(truths(1), effects, rows)
def test_a_conjunction_is_never_exceeded(
    clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int]
) -> None:
    model, _ = learned(clauses, effect, chosen, 1)
    true = succeeds(clauses, ALL)
    assert not (model.pre.surely(ALL) & ~true).any()
    assert not (model.pre.never(ALL) & true).any()


@given(truths(2), effects, rows)
def test_clauses_of_two_are_never_exceeded_when_expected(
    clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int]
) -> None:
    model, _ = learned(clauses, effect, chosen, 2)
    true = succeeds(clauses, ALL)
    assert not (model.pre.surely(ALL) & ~true).any()
    assert not (model.pre.never(ALL) & true).any()


@given(truths(1), effects, rows, rows)
def test_more_traces_admit_no_less(
    clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int], more: list[int]
) -> None:
    few, _ = learned(clauses, effect, chosen, 1)
    many, _ = learned(clauses, effect, [*chosen, *more], 1)
    assert not (few.pre.surely(ALL) & ~many.pre.surely(ALL)).any()
    assert not (few.pre.never(ALL) & ~many.pre.never(ALL)).any()


@given(truths(2), effects, rows)
def test_a_model_explains_its_traces(
    clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int]
) -> None:
    model, attempts = learned(clauses, effect, chosen, 1)
    states = np.array([list(each.before.values()) for each in attempts])
    ok = np.array([each.ok for each in attempts])
    assert (model.pre.surely(states) == ok).all() and (model.pre.never(states) == ~ok).all()
    likely = explain_failures(model.pre).clauses
    assert (truth(likely, states).all(axis=1) == ok).all()
    after, sure = model.after(states), model.foresees(states)
    for each, found, foreseen in zip(attempts, after, sure, strict=True):
        if each.ok and foreseen:
            assert found.tolist() == list(each.after.values())
    assert justify(model, attempts).claims


@given(truths(2), effects, rows)
def test_circuits_and_experts_are_the_model(
    clauses: list[Clause], effect: tuple[int, bool, Clause], chosen: list[int]
) -> None:
    model, _ = learned(clauses, effect, chosen, 1)
    planes = pack_bits(ALL)
    admitted = unpack_bits(evaluate(pre_circuit(model), planes), len(ALL))[:, 0]
    assert (admitted == model.pre.surely(ALL)).all()
    _check_effects(model)


class Told:
    """Answers every question as the truth does."""

    def __init__(self, clauses: list[Clause]) -> None:
        self._clauses = clauses

    def attempt(self, action: str, before: Mapping[str, bool]) -> Attempt:
        ok = bool(succeeds(self._clauses, np.array([list(before.values())]))[0])
        return Attempt(action, dict(before), ok, dict(before) if ok else {})


@settings(max_examples=25)
@given(truths(1), rows)
def test_questions_settle_every_conjunction(clauses: list[Clause], chosen: list[int]) -> None:
    attempts = list(traces(clauses, (0, False, (-1,)), chosen))
    found = refine(attempts, Told(clauses), n_random=0)
    assert (found.model.pre.surely(ALL) == succeeds(clauses, ALL)).all()
    assert found.settled is not None
    assert (found.n_missed, len(found.attempts)) == (0, len(attempts) + found.n_asked)


def _check_effects(model: ActionModel) -> None:
    address_of = {fact: Address(i) for i, fact in enumerate(FACTS)}
    expert = bind(effect_template(model, address_of), {})
    after = unpack_bits(step(expert, pack_bits(ALL)), len(ALL))
    sure = model.foresees(ALL)
    assert (after[sure] == model.after(ALL)[sure]).all()
