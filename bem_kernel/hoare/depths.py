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
    """

    def __init__(self, system: TransitionSystem) -> None:
        self.steps = 0
        self._runs, self._ends = Unrolling(system), Unrolling(system)
        for clause in self._runs.begins():
            self._runs.add(clause)
        self._run_oracle, self._end_oracle = (Oracle(len(system.step.gates)) for _ in range(2))
        self._pairs: set[tuple[int, int]] = set()

    def __enter__(self) -> Depths:
        return self

    def __exit__(self, *_: object) -> None:
        self._run_oracle.__exit__(None, None, None)
        self._end_oracle.__exit__(None, None, None)

    def deepen(self) -> Path | Reason | None:
        """One depth more: a bad run, a reason why there is none, or None if it is not known."""
        if (path := self._bad_run()) is not None:
            return path
        self.steps += 1
        return self._reason()

    def _bad_run(self) -> Path | None:
        """A run that is bad in its last step, one step longer than those before."""
        runs, oracle = self._runs, self._run_oracle
        frame = runs.grow()
        runs.add([frame.allowed])
        oracle.add(runs.take())
        if oracle.ask([frame.bad]):
            inputs = np.array([oracle.values(frame.free) for frame in runs.frames])
            shape = (len(inputs), runs.system.n_free)
            return Path(oracle.values(runs.first), inputs.reshape(shape))
        runs.add([-frame.bad])
        return None

    def _reason(self) -> Reason | None:
        """Why no run is bad; None if this depth does not show it."""
        ends, oracle = self._ends, self._end_oracle
        frame = ends.grow()
        ends.add([frame.allowed])
        oracle.add(ends.take())
        while oracle.ask([frame.bad]):
            repeated = self._repeated()
            if not repeated:
                ends.add([-frame.bad])
                return None
            for i, j in repeated:
                ends.distinct(i, j)
            self._pairs.update(repeated)
            oracle.add(ends.take())
        return Reason(self.steps - 1, (), tuple(sorted(self._pairs)))

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
