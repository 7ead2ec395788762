"""One step of the search for smaller networks: which move is made, and where.

Cuts of four inputs are replaced by optimal circuits until that saves nothing. Then slots that are
equal wherever it counts become one, and random walks begin: over the whole network where it has few
inputs and gates, otherwise over one window after another. Some windows are walked with the rows
that cannot occur left open; some, once walks save little, are asked for exactly one gate less.

What trials showed: walks save most per second until they are stuck, so the other two only get a
share of the time after that. Exact windows then take ctrl of the EPFL circuits from 57 gates to 55.
Open rows save nothing there, where all inputs count, and most of the gates where a care set rules
most inputs out.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bem_kernel.synthesis.exact_windows import MAX_GATES, MAX_LEAVES, ExactWindows
from bem_kernel.synthesis.network import AND, OR, XOR, Network, NetworkBuilder
from bem_kernel.synthesis.occurrence import Occurrence, fits_solver, packed_rows, swept
from bem_kernel.synthesis.rewriting import rewritten
from bem_kernel.synthesis.smaller import evaluated, walked
from bem_kernel.synthesis.windows import Window, put_back, rebuilt, window_at_random

WHOLE_INPUTS = 12
WHOLE_WORK = 1 << 16  # words simulated for one look at a whole network
_MOVES = 400
_WINDOW_LEAVES = (8, 10)
_WINDOW_GATES = (40, 60)
_MOVES_PER_GATE = 4  # for circuits like trees, whose windows are small, more is waste
_OPEN_LEAVES = 8
_OPEN_GATES = 40
_OPEN_WINDOWS = 8  # for one set-up of the solver
_STUCK = 16  # walks are stuck if nothing was saved for this part of the time
_STUCK_NS = 100_000_000  # and for this long
_IDLE_NS = 400_000_000
_EXACT_SHARE = 8  # then, at most this part of the time goes to exact windows,
_OPEN_SHARE = 8  # and this to windows with open rows; half of the time where there is a care set
_MASK = (1 << 64) - 1


class Steps:
    """Steps on one network after another, none of which ever becomes larger.

    Attributes:
        rewriting: whether rewriting still saves gates.

    Args:
        care: a network of one output: only inputs where it is 1 count. None: all.
        key: of the random numbers.
    """

    def __init__(self, care: Network | None, key: int) -> None:
        self._care = care
        self._rows: NDArray[np.uint64] | None = None
        if care is not None and care.n_inputs <= WHOLE_INPUTS:
            self._rows = evaluated(care)[0].copy()
        self._key = key << 32
        self._exact = ExactWindows()
        self.rewriting, self._sweeping = True, True
        self._start_ns = self._saved_ns = time.monotonic_ns()
        self._exact_ns = self._open_ns = 0

    def take(self, network: Network) -> Network:
        """One step; the result is equal wherever it counts."""
        self._key = self._key + 1 & _MASK
        if self.rewriting:
            result = rewritten(network)
            self.rewriting = result.size < network.size
        elif self._sweeping:
            self._sweeping = False
            result = self._sweep_step(network)
            self.rewriting = result.size < network.size
        else:
            result = self._search_step(network)
        if result.size < network.size:
            self._saved_ns = time.monotonic_ns()
        return result

    def is_idle(self) -> bool:
        """Whether nothing was saved for half of the time, and for a while."""
        now = time.monotonic_ns()
        idle = now - self._saved_ns
        return idle > _IDLE_NS and 2 * idle > now - self._start_ns

    def _search_step(self, network: Network) -> Network:
        now = time.monotonic_ns()
        elapsed = now - self._start_ns
        idle = now - self._saved_ns
        stuck = idle > _STUCK_NS and idle * _STUCK > elapsed
        if stuck and self._exact_ns * _EXACT_SHARE < elapsed:
            result = self._exact_step(network)
            self._exact_ns += time.monotonic_ns() - now
            return result
        share = _OPEN_SHARE if self._care is None else 2
        useful = stuck or self._care is not None
        if useful and self._open_ns * share < elapsed and self._can_ask(network):
            result = self._open_step(network)
            self._open_ns += time.monotonic_ns() - now
            return result
        if network.n_inputs <= WHOLE_INPUTS:
            work = len(network.gates) << max(0, network.n_inputs - 6)
            if work <= WHOLE_WORK or self._key % 8 == 0:
                return walked(network, self._key, _MOVES, self._rows)
        return self._window_step(network)

    def _can_ask(self, network: Network) -> bool:
        """Whether the network is too wide for walks as a whole, and small enough for the solver."""
        return network.n_inputs > WHOLE_INPUTS and fits_solver(network, self._care)

    def _sweep_step(self, network: Network) -> Network:
        if not self._can_ask(network):
            return network
        return rebuilt(network, swept(network, Occurrence(network, self._care, self._key)))

    def _window(self, network: Network, leaves: int, gates: int) -> Window | None:
        return window_at_random(network, self._key, max_leaves=leaves, max_gates=gates)

    def _window_step(self, network: Network) -> Network:
        kind = self._key % len(_WINDOW_LEAVES)
        window = self._window(network, _WINDOW_LEAVES[kind], _WINDOW_GATES[kind])
        if window is None:
            return network
        part = walked(window.network, self._key, _MOVES_PER_GATE * window.network.size)
        return _placed(network, window, part)

    def _open_step(self, network: Network) -> Network:
        """Walk windows in which some values never meet, until one has become smaller."""
        occurrence = Occurrence(network, self._care, self._key)
        for _ in range(_OPEN_WINDOWS):
            self._key = self._key + 1 & _MASK
            window = self._window(network, _OPEN_LEAVES, _OPEN_GATES)
            if window is None:
                continue
            rows = occurrence.rows(window.leaves)
            if rows.all():
                continue
            moves = _MOVES_PER_GATE * window.network.size
            part = walked(window.network, self._key, moves, packed_rows(rows))
            placed = _placed(network, window, part)
            if placed.size < network.size:
                return placed
        return network

    def _exact_step(self, network: Network) -> Network:
        window = self._window(network, MAX_LEAVES, MAX_GATES)
        part = None if window is None else self._exact.improved(window.network)
        if window is None or part is None:
            return network
        return _placed(network, window, part)


@cache
def warm() -> None:
    """Load the compiled code of all steps, so that the time of no search goes to that."""
    n = WHOLE_INPUTS + 2
    builder = NetworkBuilder(n)
    x = builder.gate(AND, 2, 4)
    tree = builder.build([builder.gate(XOR, x, 6), builder.gate(OR, builder.gate(XOR, 8, 10), x)])
    steps = Steps(None, 0)
    for step in (rewritten, steps._sweep_step, steps._exact_step, steps._open_step):
        step(tree)
    steps._window_step(tree)


def _placed(network: Network, window: Window, part: Network) -> Network:
    whole = put_back(network, window, part)
    return whole if whole.size <= network.size else network
