"""BEM_ANN_QUERY: the slots of the nearest identifiers.

Source: BEM core spec 3.3, 6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bem_kernel.errors import MachineError
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.units import Answer, Request

if TYPE_CHECKING:
    from bem_kernel.search.index import NearestIndex


@dataclass(frozen=True)
class SearchUnit:
    """Searches an index, or the live experts of a table; work is counted in slots looked at."""

    among: NearestIndex | ExpertTable

    @property
    def bound(self) -> int:
        """An exact search looks at every slot at most once."""
        if isinstance(self.among, ExpertTable):
            return max(1, len(self.among.codes))
        return max(1, len(self.among))

    def call(self, request: Request) -> Answer:
        """Write the slots, best first; the value is how many there are."""
        query = request.value
        if not 0 <= query < 1 << 32:
            raise MachineError(
                f"{query} is no identifier", where="BEM_ANN_QUERY", fix="use 32 bits"
            )
        request.check_writable(request.address, request.count)
        if isinstance(self.among, ExpertTable):
            slots = _among_experts(self.among, query, request.count)
            work = self.among.high_slot
        else:
            slots = self.among.query(query, request.count).slots
            work = len(self.among)
        request.write(request.address, slots.astype(np.uint64))
        return Answer(len(slots), work)


def _among_experts(table: ExpertTable, query: int, count: int) -> NDArray[np.int64]:
    from bem_kernel.search.brute import nearest_brute

    slots = np.zeros(count, dtype=np.int64)
    distances = np.zeros(count, dtype=np.int64)
    found = nearest_brute(table.codes, table.live, table.high_slot, query, count, slots, distances)
    return slots[:found]
