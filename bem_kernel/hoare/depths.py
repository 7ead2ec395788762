"""Bounded model checking and k-induction, depth by depth.

At depth d the runs of d + 1 steps from the beginning are searched for a bad one, and runs from
anywhere for d good steps and a bad one. That the states of such a run differ is asked only of
those that a model repeats; with it the search ends for every system, if only at its longest path.

Source: Sheeran, Singh and Stålmarck 2000; Eén and Sörensson 2003 (incrementally, pairs on demand).
"""

from __future__ import annotations

import numpy as np

from bem_kernel.hoare.oracle import Oracle
from bem_kernel.hoare.reach_proof import Reason
from bem_kernel.hoare.transition import Path, TransitionSystem
from bem_kernel.hoare.unrolling import Unrolling


class Depths:
    """A search that can be taken one depth further, again and again.

    Attributes:
        steps: how many steps every run from the beginning is known to stay good.

    Args:
        system: what is searched.
        budget: most conflicts of a question; a question that takes more is not decided.
    """

    def __init__(self, system: TransitionSystem, budget: int | None = None) -> None:
        self.steps = 0
        self._budget = budget
        self._inducts = True
        self._runs, self._ends = Unrolling(system), Unrolling(system)
        for clause in self._runs.begins():
            self._runs.add(clause)
        self._run_oracle, self._end_oracle = Oracle(), Oracle()
        self._pairs: set[tuple[int, int]] = set()

    def __enter__(self) -> Depths:
        return self

    def __exit__(self, *_: object) -> None:
        self._run_oracle.__exit__(None, None, None)
        self._end_oracle.__exit__(None, None, None)

    def deepen(self) -> Path | Reason | bool:
        """One depth more: a bad run, a reason why there is none, or whether to go on.

        False means that the runs from the beginning took more than the budget.
        """
        found = self._bad_run()
        if found is not False:
            return found if isinstance(found, Path) else False
        self.steps += 1
        if self._inducts and (reason := self._reason()) is not None:
            return reason
        return True

    def _bad_run(self) -> Path | bool | None:
        """A run that is bad in its last step; False: none, None: not decided."""
        runs, oracle = self._runs, self._run_oracle
        if len(runs.frames) == self.steps:
            frame = runs.grow()
            runs.add([frame.allowed])
        bad = runs.frames[-1].bad
        oracle.add(runs.take())
        answer = oracle.ask([bad], self._budget)
        if answer:
            inputs = [oracle.values(frame.free) for frame in runs.frames]
            width = runs.system.n_free
            return Path(oracle.values(runs.first), np.array(inputs).reshape(len(inputs), width))
        if answer is False:
            runs.add([-bad])
        return answer

    def _reason(self) -> Reason | None:
        """Why no run is bad; None if this depth does not show it."""
        ends, oracle = self._ends, self._end_oracle
        frame = ends.grow()
        ends.add([frame.allowed])
        while True:
            oracle.add(ends.take())
            answer = oracle.ask([frame.bad], self._budget)
            if answer is False:
                return Reason(len(ends.frames) - 1, (), tuple(sorted(self._pairs)))
            repeated = self._repeated() if answer else []
            if not repeated:
                break
            for i, j in repeated:
                ends.distinct(i, j)
            self._pairs.update(repeated)
        self._inducts = answer is not None
        ends.add([-frame.bad])
        return None

    def _repeated(self) -> list[tuple[int, int]]:
        """The steps before which the last model has the same state, each with the one before."""
        last: dict[bytes, int] = {}
        found = []
        for j, frame in enumerate(self._ends.frames):
            state = self._end_oracle.values(frame.state).tobytes()
            if state in last:
                found.append((last[state], j))
            last[state] = j
        return found
