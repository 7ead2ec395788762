"""Lemmas that show that BAD is unreachable: property-directed reachability.

F_0 is where runs begin; F_i holds in all states that i steps reach, and is a set of clauses that
shrinks as i grows. A state of the last F from which a step is bad has to be shown unreachable: a
clause that excludes it is derived from the F before, or a predecessor is found there and has to be
excluded first. When two F become the same, its clauses are kept by every step, and no run is bad.

Cubes are shrunk by the core of a failed question: of a predecessor what its step does not need,
of an excluded state what the exclusion does not need.

Source: Bradley 2011 (IC3); Eén, Mishchenko and Brayton 2011 (PDR).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bem_kernel.hoare.oracle import Oracle
from bem_kernel.hoare.reach_proof import Lemma, Reason
from bem_kernel.hoare.transition import ANY_STATE, Path, TransitionSystem
from bem_kernel.hoare.unrolling import Unrolling

Cube = frozenset[int]
"""State literals that hold together: x > 0 says that bit x - 1 is 1, as in `Lemma`."""

_Inputs = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Duty:
    """A cube that has to be excluded, since it leads to bad.

    Attributes:
        cube: from all its states `inputs` leads on.
        inputs: of the step.
        after: where the step leads; None: the step itself is bad.
    """

    cube: Cube
    inputs: _Inputs
    after: _Duty | None


class _Spent(Exception):  # noqa: N818 - never reaches a caller
    """The search took more questions than it may."""


class Lemmas:
    """One search.

    Args:
        system: what is searched.
        questions: most questions to the solver.
    """

    def __init__(self, system: TransitionSystem, questions: int) -> None:
        self._system = system
        self._left = questions
        self._unrolling = run = Unrolling(system)
        begins = run.begins()
        self._frame = run.grow()
        self._now: list[int] = run.first.tolist()
        self._next: list[int] = self._frame.following.tolist()
        self._bit = {variable: i + 1 for i, variable in enumerate(self._now)}
        self._forward, self._backward = (Oracle(len(system.step.gates)) for _ in range(2))
        self._levels: list[int] = []  # the variable that puts the clauses of a level in force
        self._clauses: list[set[Cube]] = []  # cubes excluded at a level and those before it
        clauses = run.take()
        self._forward.add([*clauses, [self._frame.allowed]])
        self._backward.add(clauses)
        self._open_level()
        for oracle in (self._forward, self._backward):
            oracle.add([[-self._levels[0], *clause] for clause in begins])

    def __enter__(self) -> Lemmas:
        return self

    def __exit__(self, *_: object) -> None:
        self._forward.__exit__(None, None, None)
        self._backward.__exit__(None, None, None)

    def search(self, levels: int) -> Path | Reason | None:
        """A bad run, a reason why there is none, or None: questions or levels are spent.

        Args:
            levels: most sets F.
        """
        try:
            duty = self._bad_state(0)
            if duty is not None:
                return self._path(duty)
            for level in range(1, levels + 1):
                self._open_level()
                while (duty := self._bad_state(level)) is not None:
                    if (found := self._exclude(duty, level)) is not None:
                        return self._path(found)
                if (lemmas := self._push(level)) is not None:
                    return Reason(0, lemmas)
        except _Spent:
            pass
        return None

    def _open_level(self) -> None:
        self._levels.append(self._unrolling.new())
        self._clauses.append(set())

    def _ask(self, level: int, more: Iterable[int], oracle: Oracle | None = None) -> bool:
        """Whether a step from F_level meets more literals; `level` -1: from anywhere."""
        self._left -= 1
        if self._left < 0:
            raise _Spent
        in_force = self._levels[level:] if level >= 0 else []
        return (oracle or self._forward).ask([*in_force, *more])

    def _bad_state(self, level: int) -> _Duty | None:
        """A cube of F_level from which a step is bad."""
        if not self._ask(level, [self._frame.bad]):
            return None
        return self._predecessor(level, None, [self._frame.bad])

    def _predecessor(self, level: int, after: _Duty | None, target: list[int]) -> _Duty:
        """The state of the last model, shrunk to what its step needs to meet the target."""
        values = self._forward.values(np.array(self._now, dtype=np.int32))
        inputs = self._forward.values(self._frame.free)
        state = [x if value else -x for x, value in zip(self._now, values.tolist(), strict=True)]
        free = zip(self._frame.free.tolist(), inputs.tolist(), strict=True)
        chosen = [x if value else -x for x, value in free]
        if level == 0:  # the beginning of a run, needed as it is
            return _Duty(self._cube(state), inputs, after)
        missed = self._unrolling.new()  # not allowed, or somewhere else than the target
        self._backward.add([[-missed, -self._frame.allowed, *(-x for x in target)]])
        if self._ask(-1, [missed, *chosen, *state], self._backward):
            raise AssertionError("a step leads to two states")
        core = self._backward.core()
        self._backward.add([[-missed]])
        return _Duty(self._cube(x for x in state if x in core), inputs, after)

    def _cube(self, literals: Iterable[int]) -> Cube:
        return frozenset(self._bit[abs(x)] * (1 if x > 0 else -1) for x in literals)

    def _exclude(self, bad: _Duty, top: int) -> _Duty | None:
        """Exclude a cube from F_top; a duty at the beginning of a run if that cannot be."""
        order = 0
        queue = [(top, order, bad)]
        while queue:
            level, _, duty = heapq.heappop(queue)
            if self._is_excluded(duty.cube, level):
                continue
            if self._begins_in(duty.cube):
                return _Duty(self._first_state(duty.cube), duty.inputs, duty.after)
            order += 1
            core = self._cut_off(duty.cube, level)
            if core is None:
                target = self._after(duty.cube)
                before = self._predecessor(level - 1, duty, target)
                if level == 1:
                    return before
                heapq.heappush(queue, (level - 1, -order, before))
                heapq.heappush(queue, (level, -order, duty))
                continue
            cube = self._shrunk(core, level)
            while level < top and self._cut_off(cube, level + 1) is not None:
                level += 1
            self._learn(cube, level)
            if level < top:
                heapq.heappush(queue, (level + 1, -order, duty))
        return None

    def _is_excluded(self, cube: Cube, level: int) -> bool:
        return any(other <= cube for clauses in self._clauses[level:] for other in clauses)

    def _after(self, cube: Iterable[int]) -> list[int]:
        """A cube as literals of the state after the step."""
        return [self._next[x - 1] if x > 0 else -self._next[-x - 1] for x in cube]

    def _before(self, cube: Iterable[int]) -> list[int]:
        """A cube as literals of the state before the step."""
        return [self._now[x - 1] if x > 0 else -self._now[-x - 1] for x in cube]

    def _cut_off(self, cube: Cube, level: int) -> Cube | None:
        """A part of a cube that no step enters from F_level-1 outside it; None if one enters.

        The part has no state in which runs begin.
        """
        outside = self._unrolling.new()
        self._forward.add([[-outside, *(-x for x in self._before(cube))]])
        after = dict(zip(cube, self._after(cube), strict=True))
        entered = self._ask(level - 1, [outside, *after.values()])
        if entered:
            return None
        core = self._forward.core()
        self._forward.add([[-outside]])
        part = frozenset(x for x, literal in after.items() if literal in core)
        return self._apart(part, cube)

    def _apart(self, part: Cube, cube: Cube) -> Cube:
        """A part of a cube, with enough of it that no run begins there."""
        if not self._begins_in(part):
            return part
        first = self._system.first
        apart = next((x for x in cube if first[abs(x) - 1] is (x < 0)), None)
        return cube if apart is None else part | {apart}

    def _begins_in(self, cube: Cube) -> bool:
        """Whether a run may begin in a state of a cube."""
        if any(self._system.first[abs(x) - 1] is (x < 0) for x in cube):
            return False
        if self._system.initial == ANY_STATE:
            return True
        return self._ask(-1, [self._levels[0], *self._before(cube)], self._backward)

    def _first_state(self, cube: Cube) -> Cube:
        """A state of a cube in which a run begins, where there is one."""
        self._ask(-1, [self._levels[0], *self._before(cube)], self._backward)
        values = self._backward.values(np.array(self._now, dtype=np.int32)).tolist()
        return frozenset(x if value else -x for x, value in enumerate(values, 1))

    def _shrunk(self, cube: Cube, level: int) -> Cube:
        """A smaller cube that can be cut off as well: literals are left out one by one."""
        kept = cube
        for x in sorted(cube, key=abs):
            smaller = kept - {x}
            if x not in kept or not smaller or self._begins_in(smaller):
                continue
            if (core := self._cut_off(smaller, level)) is not None:
                kept = core
        return kept

    def _learn(self, cube: Cube, level: int) -> None:
        """Exclude a cube from F_1 to F_level."""
        self._forward.add([[-self._levels[level], *(-x for x in self._before(cube))]])
        for clauses in self._clauses[: level + 1]:
            clauses.difference_update([other for other in clauses if cube <= other])
        self._clauses[level].add(cube)

    def _push(self, top: int) -> tuple[Lemma, ...] | None:
        """Move clauses to later levels where they hold too; the lemmas if two levels agree."""
        for level in range(1, top):
            for cube in list(self._clauses[level]):
                if not self._ask(level, self._after(cube)):
                    self._learn(cube, level + 1)
            if not self._clauses[level]:
                found = {cube for clauses in self._clauses[level + 1 :] for cube in clauses}
                ordered = sorted(found, key=lambda cube: (len(cube), sorted(cube, key=abs)))
                return tuple(tuple(-x for x in sorted(cube, key=abs)) for cube in ordered)
        return None

    def _path(self, duty: _Duty) -> Path:
        """The run that begins with a duty whose cube is a whole state."""
        state = np.zeros(self._system.n_state, dtype=np.bool_)
        state[[x - 1 for x in duty.cube if x > 0]] = True
        inputs = []
        at: _Duty | None = duty
        while at is not None:
            inputs.append(at.inputs)
            at = at.after
        return Path(state, np.array(inputs).reshape(len(inputs), self._system.n_free))
