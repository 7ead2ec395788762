"""Proofs that traces justify a model, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest

from bem_kernel.errors import LearningError
from bem_kernel.learning.action_model import ActionModel, Effect, learn_action
from bem_kernel.learning.action_proof import justify
from bem_kernel.learning.action_traces import Attempt
from bem_kernel.learning.antecedents import Antecedents
from bem_kernel.logic.proof import Proof
from bem_kernel.proofs.check import Accepted, check_proof

FACTS = ("a", "b", "c", "d", "e")


def attempts(seed: int, count: int, wide: bool = False) -> list[Attempt]:
    """Succeeds where a & !b, or where a | b; sets c where d, and e always."""
    rng, made = Random(seed), list[Attempt]()
    for _ in range(count):
        before = {fact: rng.random() < 0.5 for fact in FACTS}
        ok = (before["a"] or before["b"]) if wide else (before["a"] and not before["b"])
        after = {**before, "e": True, "c": before["c"] or before["d"]} if ok else {}
        made.append(Attempt("act", before, ok, after))
    return made


def without(model: ActionModel, clause: tuple[int, ...]) -> ActionModel:
    """The model with a precondition that is less careful."""
    kept = tuple(each for each in model.pre.clauses if each != clause)
    return replace(model, pre=replace(model.pre, clauses=kept, reasons=()))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("count", [1, 5, 20, 80])
def test_what_is_learned_is_justified(count: int, wide: bool) -> None:
    for seed in range(10):
        traces = attempts(seed, count, wide)
        model = learn_action(traces)
        found = justify(model, traces)
        conditional = [e for e in model.effects if e.when is not None and e.when.size]
        assert len(found.claims) == 1 + len(conditional)
        for claim, proof in zip(found.claims, found.proofs, strict=True):
            assert isinstance(check_proof(claim.cnf, proof), Accepted)


@pytest.mark.parametrize("clause", [(1,), (-2,)])
def test_a_precondition_too_wide_is_refused(clause: tuple[int, ...]) -> None:
    traces = attempts(1, 60)
    model = learn_action(traces)
    assert clause in model.pre.clauses
    with pytest.raises(LearningError, match="action act: not every precondition that explains"):
        justify(without(model, clause), traces)


def test_a_clause_that_no_trace_has_settled_may_not_be_left_out() -> None:
    traces = [Attempt("act", dict.fromkeys(FACTS, True), True, dict.fromkeys(FACTS, True))]
    model = learn_action(traces)
    with pytest.raises(LearningError, match="where act is admitted"):
        justify(without(model, (5,)), traces)


def test_more_careful_is_justified_too() -> None:
    traces = attempts(1, 60)
    model = learn_action(traces)
    careful = replace(model, pre=replace(model.pre, clauses=(*model.pre.clauses, (4,))))
    assert justify(careful, traces).claims


def test_an_antecedent_that_another_explains_as_well_is_refused() -> None:
    base = dict.fromkeys(FACTS, False)
    lit = {**base, "a": True, "b": True}
    traces = [
        Attempt("act", base, True, base),
        Attempt("act", lit, True, {**lit, "c": True}),
        *(Attempt("act", {**base, f: True}, True, {**base, f: True}) for f in "de"),
        *(Attempt("act", {**lit, f: True}, True, {**lit, f: True, "c": True}) for f in "de"),
    ]
    model = learn_action(traces)
    (effect,) = model.effects
    assert effect.when == Antecedents(1, ((1,), (2,)))
    assert len(justify(model, traces).claims) == 2
    narrowed = replace(model, effects=(replace(effect, when=Antecedents(1, ((1,),))),))
    with pytest.raises(LearningError, match="not every antecedent of up to 1 literals .* to c"):
        justify(narrowed, traces)


@pytest.mark.parametrize("effect", [Effect("e", False), Effect("d", True)])
def test_an_effect_that_did_not_happen_is_refused(effect: Effect) -> None:
    traces = attempts(2, 40)
    model = replace(learn_action(traces), effects=(effect,))
    with pytest.raises(LearningError, match="contradicts"):
        justify(model, traces)


def test_a_forged_proof_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = attempts(3, 30)
    model = learn_action(traces)
    empty = justify(model, traces).proofs[0]
    forged = Proof(empty.offsets[:1], empty.literals[:0], empty.deletes[:0])
    monkeypatch.setattr(
        "bem_kernel.learning.action_proof.prove", lambda claims: tuple(forged for _ in claims)
    )
    with pytest.raises(LearningError, match="no proof that every"):
        justify(without(model, (1,)), traces)


def test_models_do_not_share_what_the_traces_say() -> None:
    traces: list[Attempt] = attempts(4, 50)
    states: list[Mapping[str, bool]] = [each.before for each in traces]
    learn_action(traces)
    assert [each.before for each in traces] == states
