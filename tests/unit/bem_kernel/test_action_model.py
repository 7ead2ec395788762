"""Action models: what traces justify, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bem_kernel.circuits.expression import compile_expression
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import LearningError
from bem_kernel.experts.expert import step
from bem_kernel.experts.table import ExpertTable
from bem_kernel.experts.template import Address, bind
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.action_circuits import (
    BAD,
    effect_template,
    learned_program,
    pre_circuit,
    pre_template,
)
from bem_kernel.learning.action_model import ActionModel, Verdict, learn_action, learn_actions
from bem_kernel.learning.action_patch import propose_actions
from bem_kernel.learning.action_text import expression, pddl
from bem_kernel.learning.action_traces import Attempt, attempt_line, read_attempts
from bem_kernel.learning.explanation import explain_failures
from bem_kernel.learning.version_space import all_clauses, narrowest, truth, version_space
from bem_kernel.ledger.chain import Ledger
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.patch import Invariant, Predicate
from bem_kernel.patches.propose import propose_invariants
from bem_kernel.patches.verify import Proved, Refuted, verify
from bem_kernel.sat.check import Unsatisfiable, check

State = Mapping[str, bool]
FACTS = ("near", "locked(door)", "open(door)", "dark")


def states() -> list[dict[str, bool]]:
    return [
        dict(zip(FACTS, bits, strict=True)) for bits in product((False, True), repeat=len(FACTS))
    ]


def attempt(
    before: State, ok: Callable[[State], bool], effect: Callable[[State], State], name: str = "act"
) -> Attempt:
    after = {**before, **effect(before)} if ok(before) else {}
    return Attempt(name, before, ok(before), after, {"door": "door"})


def can_open(state: State) -> bool:
    return state["near"] and not state["locked(door)"]


def opened(state: State) -> State:
    return {"open(door)": True}


def switched(state: State) -> State:
    """Light, but only where the door is open."""
    return {"dark": False} if state["open(door)"] else {}


def literals(model: ActionModel) -> set[str]:
    return {" | ".join(map(model.literal, clause)) for clause in model.precondition}


def test_all_states_teach_the_action_exactly() -> None:
    model = learn_action([attempt(state, can_open, opened) for state in states()])
    assert literals(model) == {"near", "!locked(door)"}
    assert [(e.fact, e.value, e.when) for e in model.effects] == [("open(door)", True, None)]
    for state in states():
        expected = Verdict.ADMITTED if can_open(state) else Verdict.REFUSED
        assert model.verdict(state) is expected
    explanation = explain_failures(model.pre)
    assert set(explanation.clauses) == {(1,), (-2,)}
    assert explanation.refusal is not None
    assert isinstance(check(explanation.refusal), Unsatisfiable)


def test_one_success_admits_nothing_but_itself() -> None:
    first = {"near": True, "locked(door)": False, "open(door)": False, "dark": True}
    model = learn_action([attempt(first, can_open, opened)])
    verdicts = {model.verdict(state) for state in states() if state != first}
    assert (model.verdict(first), verdicts) == (Verdict.ADMITTED, {Verdict.OPEN})
    assert model.why_not({**first, "dark": False, "near": False}) == ("near", "dark")


def test_failures_alone_admit_nothing() -> None:
    failing = [attempt(state, lambda _: False, opened) for state in states()]
    model = learn_action(failing[:5])
    assert all(model.verdict(state) is not Verdict.ADMITTED for state in states())
    assert model.successes == 0 and model.effects == ()


def test_a_failure_says_which_clause_is_needed() -> None:
    first = {"near": True, "locked(door)": False, "open(door)": False, "dark": True}
    tried = [first, {**first, "near": False}]
    model = learn_action([attempt(state, can_open, opened) for state in tried])
    needed = {model.pre.clauses[i] for i in model.pre.needed}
    assert needed == {(1,)}
    assert model.verdict({**first, "near": False, "dark": False}) is Verdict.REFUSED
    assert model.verdict({**first, "dark": False}) is Verdict.OPEN


def test_a_choice_of_conditions_needs_wider_clauses() -> None:
    def either(state: State) -> bool:
        return state["near"] or state["open(door)"]

    model = learn_action([attempt(state, either, opened) for state in states()])
    assert (model.pre.width, literals(model)) == (2, {"near | open(door)"})
    assert expression(model) == "(near | open(door))"


def test_a_fact_never_spoken_of_is_not_relied_on() -> None:
    model = learn_action([attempt(state, can_open, opened) for state in states()])
    good = {"near": True, "locked(door)": False, "open(door)": False, "dark": False}
    assert model.verdict({**good, "alarmed": False}) is Verdict.ADMITTED
    assert model.verdict({**good, "alarmed": True}) is Verdict.OPEN
    with pytest.raises(LearningError, match="nothing says whether near; say it"):
        model.verdict({"dark": True})


def test_an_effect_that_depends_on_the_state() -> None:
    model = learn_action([attempt(state, can_open, switched) for state in states()])
    (effect,) = model.effects
    assert effect.when is not None
    assert (effect.fact, effect.value, effect.when.conjunctions) == ("dark", False, ((3,),))
    rows = np.array([[True, False, False, True], [True, False, True, True]])
    assert model.foresees(rows).all()
    assert model.after(rows)[:, 3].tolist() == [True, False]


def test_an_effect_that_nothing_explains_is_not_foreseen() -> None:
    def parity(state: State) -> State:
        odd = sum(state[fact] for fact in FACTS[:3]) % 2 == 1
        return {"dark": False} if odd else {}

    model = learn_action([attempt(state, lambda _: True, parity) for state in states()])
    foreseen = model.foresees(np.array([list(state.values()) for state in states()]))
    assert foreseen.tolist() == [not state["dark"] for state in states()]
    assert "; not foreseen: (not (dark))" in pddl("odd", [model])


def test_facts_of_the_call_and_of_what_it_finds() -> None:
    before = {"near": True, "loud": True}
    found = Attempt("look", before, True, {"near": True, "seen(self)": True}, {"self": "door"})
    model = learn_action([found])
    assert model.of_call == ("loud",)
    assert [(e.fact, e.value) for e in model.effects] == [("seen(self)", True)]


def test_the_same_state_cannot_succeed_and_fail() -> None:
    state = states()[3]
    pair = [
        Attempt("act", state, True, dict(state), source="a:1"),
        Attempt("act", state, False, source="a:2"),
    ]
    with pytest.raises(LearningError, match="only one success: a:1 and a:2; name the fact"):
        learn_action(pair)
    good = attempt(state, can_open, opened, "open")
    models = learn_actions([*pair, good])
    assert list(models.models) == ["open"]
    assert "action act: the same facts before" in models.unexplained["act"]


def test_what_no_clause_of_three_explains() -> None:
    bits = np.array(list(product((False, True), repeat=4)))
    odd = bits.sum(axis=1) % 2 == 1
    with pytest.raises(LearningError, match="no clauses of up to 3 facts"):
        narrowest(bits[odd], bits[~odd])
    with pytest.raises(LearningError, match="width 4; use 1 to 3"):
        all_clauses(3, 4)
    with pytest.raises(LearningError, match="200 facts make more than 100000 clauses of 3"):
        all_clauses(200, 3)


def test_a_space_is_refuted_by_a_failure_that_breaks_no_clause() -> None:
    positive = np.array([[True, False], [False, True]])
    assert version_space(positive, np.array([[False, False]]), 1) is None
    space = version_space(positive, np.array([[False, False]]), 2)
    assert space is not None
    assert truth(space.clauses, positive).all()


@pytest.mark.parametrize("effect", [opened, switched])
def test_experts_do_what_the_model_says(effect: Callable[[State], State]) -> None:
    model = learn_action([attempt(state, can_open, effect) for state in states()])
    address_of = {fact: Address(2 * i) for i, fact in enumerate(FACTS)}
    rows = np.zeros((16, 9), dtype=np.bool_)
    rows[:, :8:2] = [list(state.values()) for state in states()]
    pre = bind(pre_template(model, address_of, Address(8)), {})
    effects = bind(effect_template(model, address_of), {})
    assert set(pre.reads) == {0, 2, 8}
    tried = unpack_bits(step(pre, pack_bits(rows)), 16)
    assert tried[:, 8].tolist() == [not can_open(state) for state in states()]
    admitted = [i for i, state in enumerate(states()) if can_open(state)]
    after = unpack_bits(step(effects, pack_bits(rows)), 16)[admitted, :8:2]
    expected = [[*({**states()[i], **effect(states()[i])}).values()] for i in admitted]
    assert after.tolist() == expected
    with pytest.raises(LearningError, match="no state bit for dark; give it an address"):
        pre_template(model, {fact: Address(0) for fact in FACTS[:3]}, Address(8))


def test_bad_rises_where_an_effect_is_not_foreseen() -> None:
    seen = [s for s in states() if not s["dark"] or s["locked(door)"] == s["open(door)"]]
    model = learn_action([attempt(s, lambda _: True, switched) for s in seen])
    rows = np.array([[*state.values(), False] for state in states()])
    address_of = {fact: Address(i) for i, fact in enumerate(FACTS)}
    pre = bind(pre_template(model, address_of, Address(4)), {})
    bad = unpack_bits(step(pre, pack_bits(rows)), 16)[:, 4]
    sure = model.pre.surely(rows[:, :4]) & model.foresees(rows[:, :4])
    assert 0 < sure.sum() < model.pre.surely(rows[:, :4]).sum()
    assert bad.tolist() == (~sure).tolist()


def test_learned_actions_are_added_by_a_certified_patch(tmp_path: Path) -> None:
    model = learn_action([attempt(state, can_open, opened) for state in states()])
    program = learned_program([model])
    assert program.bit_names == (*FACTS, BAD)
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    table = ExpertTable(Memory(MachineConfig(n_bits=8, n_shared_bits=64, **sizes)))
    patch = propose_actions(table, program.experts, reason="seen in traces")
    verdict = verify(table, patch)
    assert isinstance(verdict, Proved)
    with Ledger(tmp_path / "log") as log:
        apply(table, patch, verdict.certificate, log)
        assert [table.expert(word).name for word in table] == ["pre:act", "effect:act"]
        never_open = Predicate((2,), compile_expression("!open", ["open"]))
        closed = propose_invariants(table, [Invariant("closed", never_open)], reason="x")
        assert isinstance(verify(table, closed), Refuted)
    assert read_invariants(table.memory) == ()
    with pytest.raises(LearningError, match="no expert; learn an action first"):
        propose_actions(table, [], reason="nothing")


def test_the_circuit_is_the_precondition() -> None:
    model = learn_action([attempt(state, can_open, opened) for state in states()])
    rows = np.array([list(state.values()) for state in states()])
    outputs = unpack_bits(evaluate(pre_circuit(model), pack_bits(rows)), 16)[:, 0]
    assert outputs.tolist() == [can_open(state) for state in states()]


def test_pddl_of_one_action() -> None:
    model = learn_action([attempt(state, can_open, switched) for state in states()])
    assert pddl("doors", [model]) == PDDL


PDDL = """\
(define (domain doors)
  (:requirements :strips :typing :negative-preconditions :disjunctive-preconditions
    :conditional-effects)
  (:types door)
  (:predicates
    (near)
    (locked ?x0 - door)
    (open ?x0 - door)
    (dark))

  ; from 4 successes and 12 failures
  (:action act
    :parameters (?door - door)
    :precondition (and
      (near)
      (not (locked ?door)))
    :effect (and
      (when (open ?door) (not (dark))))))
"""


def test_attempts_survive_their_file() -> None:
    attempts = [attempt(state, can_open, opened) for state in states()]
    text = "\n".join(map(attempt_line, attempts)) + "\n\n"
    read = read_attempts(text, "doors")
    assert [(a.action, a.before, a.ok, a.after, a.parameters) for a in read] == [
        (a.action, a.before, a.ok, a.after, a.parameters) for a in attempts
    ]
    assert read[2].source == "doors:3"


LINE = '{"action":"a","ok":true,"before":{"x":true},"after":{"x":true}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t: 0 attempts; give 1 to"),
        ("{", "t:1"),
        ('{"action":"a","before":{}}', "t:1: ok: Field required"),
        (LINE.replace("true", "1", 1), "t:1: ok: Input should be a valid boolean"),
        (LINE.replace('"x"', '"x y"', 1), "t:1: before"),
        (LINE.replace('"a"', '"a b"'), "t:1: action"),
        (LINE[:-1] + ',"z":1}', "t:1: z: Extra inputs"),
        (LINE + "\n" + LINE.replace('"x"', '"y"'), "t:2: not every attempt at a says whether x"),
        (
            LINE + "\n" + LINE.replace('"after":{"x":true}', '"after":{}'),
            "t:2: not every a says whether x afterwards",
        ),
        (LINE + "\n" + LINE[:-1] + ',"parameters":{"p":"t"}}', "t:2: a had other parameters"),
    ],
)
def test_malformed_attempts_are_refused(text: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        read_attempts(text, "t")
