"""Windows made as small as can be: by the database, then by SAT, which is asked for one gate less.

A question has a budget, and what was answered for a window is not asked again for its functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.synthesis.database import DATABASE_INPUTS, optimal_database
from bem_kernel.synthesis.exact import LowerBound, network_of_size, tables_of
from bem_kernel.synthesis.network import Network

MAX_LEAVES = 5
MAX_GATES = 7
_BUDGET = 2_000  # conflicts for one question


class ExactWindows:
    """Asks whether windows can be smaller, and remembers which cannot."""

    def __init__(self) -> None:
        self._answered: set[tuple[tuple[int, ...], int, int, int]] = set()

    def improved(self, part: Network, rows: NDArray[np.bool_] | None = None) -> Network | None:
        """A network with fewer gates for a window, equal where it counts; None: none was found.

        Args:
            part: the window, of at most 6 inputs.
            rows: (2**inputs,) bool, which rows of its truth table count; None for all.
        """
        if not part.size:
            return None
        n, every = part.n_inputs, (1 << (1 << part.n_inputs)) - 1
        tables = tables_of(part)
        care = every if rows is None else sum(1 << int(row) for row in np.flatnonzero(rows))
        if care == every and len(tables) == 1 and n <= DATABASE_INPUTS:
            smallest = optimal_database().network_of(tables[0], n)
            return smallest if smallest.size < part.size else None
        key = (tuple(tables), n, care, part.size)
        if key in self._answered or part.size > MAX_GATES:
            return None
        self._answered.add(key)
        found = network_of_size(tables, n, care, part.size - 1, _BUDGET)
        return None if isinstance(found, LowerBound) else found
