"""Questions to a simulator settle what traces leave open."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from bem_kernel.errors import LearningError
from bem_kernel.learning.action_model import ActionModel, Verdict, learn_action
from bem_kernel.learning.action_traces import Attempt
from bem_kernel.learning.refinement import refine

FACTS = tuple("abcdefgh")
State = Mapping[str, bool]
START = {**dict.fromkeys(FACTS, False), "a": True, "c": True}


class Box:
    """Succeeds where it is told to; cannot be brought into every state."""

    def __init__(
        self,
        ok: Callable[[State], bool],
        effect: Callable[[State], State] = lambda _: {},
        possible: Callable[[State], bool] = lambda _: True,
    ) -> None:
        self.ok, self.effect, self.possible = ok, effect, possible
        self.asked = 0

    def attempt(self, action: str, before: State) -> Attempt | None:
        self.asked += 1
        if not self.possible(before):
            return None
        ok = self.ok(before)
        after = {**before, **self.effect(before)} if ok else {}
        return Attempt(action, dict(before), ok, after)

    def first(self) -> Attempt:
        found = self.attempt("act", START)
        assert found is not None and found.ok
        return found


def clauses(model: ActionModel) -> set[str]:
    return {" | ".join(map(model.literal, clause)) for clause in model.precondition}


def simple(state: State) -> bool:
    return state["a"] and not state["b"] and state["c"]


def test_from_one_success_to_the_exact_precondition() -> None:
    box = Box(simple)
    assert len(clauses(learn_action([box.first()]))) == 8
    found = refine([box.first()], box, n_random=10)
    assert clauses(found.model) == {"a", "!b", "c"}
    assert (found.settled is not None, found.n_asked, found.n_random) == (True, 18, 10)
    assert len(found.attempts) == 1 + found.n_asked


def test_random_states_refute_a_width() -> None:
    box = Box(lambda state: state["a"] and (not state["b"] or state["c"]))
    found = refine([box.first()], box)
    assert found.model.pre.width == 2
    assert clauses(found.model) == {"a", "!b | c"}
    assert found.settled is None and found.n_random == 64


@pytest.mark.parametrize(("width", "safe"), [(1, False), (2, True)])
def test_a_width_that_is_too_small_is_the_one_thing_to_believe_in(width: int, safe: bool) -> None:
    box = Box(lambda state: state["a"] and (not state["b"] or state["c"]))
    found = refine([box.first()], box, width=width, n_random=0)
    wrong = {**START, "b": True, "c": False}
    assert found.model.pre.width == width
    assert (found.model.verdict(wrong) is not Verdict.ADMITTED) is safe


def test_an_effect_that_depends_on_the_state_is_found_out() -> None:
    def effect(state: State) -> State:
        return {"d": state["d"] or (state["e"] and not state["f"])}

    found = refine([Box(simple).first()], Box(simple, effect))
    (learned,) = found.model.effects
    assert learned.when is not None
    assert (learned.fact, learned.value) == ("d", True)
    assert learned.when.conjunctions == ((5, -6),)
    assert found.settled is not None


def test_states_that_cannot_be_brought_about_stay_in_doubt() -> None:
    box = Box(simple, possible=lambda state: state["h"] == START["h"])
    found = refine([box.first()], box, n_random=0)
    assert clauses(found.model) == {"a", "!b", "c", "!h"}
    assert (found.n_missed, found.settled is not None) == (16, True)  # there are no others
    few = refine([box.first()], box, n_random=0, max_questions=20)
    assert few.n_missed > 0 and few.settled is None


def test_what_is_impossible_is_no_doubt() -> None:
    box = Box(simple, possible=lambda state: not state["h"])
    found = refine([box.first()], box, possible=[("!h",)])
    assert clauses(found.model) == {"a", "!b", "c", "!h"}
    assert (found.n_missed, found.settled is not None) == (0, True)
    with pytest.raises(LearningError, match="no fact 'z'; known are a, b"):
        refine([box.first()], box, possible=[("!z",)])


def test_an_answer_about_another_state_counts() -> None:
    class Stubborn(Box):
        def attempt(self, action: str, before: State) -> Attempt | None:
            return super().attempt(action, {**before, "h": False})

    found = refine([Box(simple).first()], Stubborn(simple), n_random=0)
    assert clauses(found.model) == {"a", "!b", "c", "!h"}
    assert found.n_missed > 0


def test_questions_run_out() -> None:
    box = Box(simple)
    found = refine([box.first()], box, max_questions=3)
    assert (found.n_asked, box.asked, found.settled) == (3, 4, None)
    assert len(clauses(found.model)) >= 5
