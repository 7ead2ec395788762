"""Which skills the choice is among: those whose identifiers are nearest to a query.

Every skill has a BEM identifier; the rail makes a query of 32 bits, and the machine's exact search
finds the nearest. Nearness also enters the choice's logits, through which the query learns.

Source: DESIGN.md 4, 5; BEM core spec 1, 3.3, 6.3.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import gray, gray_inverse
from bem_kernel.identifiers.ident import encode_words

if TYPE_CHECKING:
    from bem_kernel.search.index import NearestIndex

QUERY_BITS = 32
_SPREAD = 10111  # odd, so that numbers below 2**14 stay distinct; neighbours come to lie far apart


class Candidates:
    """The nearest skills to queries.

    Args:
        n_skills: K.
        count: how many are wanted; 0, or K and more, for all.
    """

    def __init__(self, n_skills: int, count: int) -> None:
        self.count = count
        self.narrow = 0 < count < n_skills
        local = np.arange(1, n_skills + 1, dtype=np.int64) * _SPREAD % (1 << 14)
        self.identifiers = encode_words(int(IdClass.EXPERT), np.zeros_like(local), local)

    @cached_property
    def _index(self) -> NearestIndex:
        from bem_kernel.search.index import NearestIndex  # imports numba

        return NearestIndex(self.identifiers)

    @cached_property
    def _codes(self) -> NDArray[np.float32]:
        """(K, 32) Gray codes of the identifiers, as -1 or 1."""
        bits = gray(self.identifiers)[:, None] >> np.arange(QUERY_BITS, dtype=np.uint32) & 1
        return bits.astype(np.float32) * 2 - 1

    def nearest(self, query: Tensor) -> Tensor:
        """(N, 32) queries, bits by sign, to (N, count) int64 skills, nearest first."""
        bits = (query.detach() > 0).cpu().numpy()
        words = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)
        found = self._index.query_batch(gray_inverse(words), self.count)
        return torch.from_numpy(found.slots).to(query.device)

    def __call__(self, query: Tensor, logits: Tensor) -> Tensor:
        """Logits (…, K) with nearness added, -inf where a skill is no candidate."""
        codes = torch.from_numpy(self._codes).to(query.device)
        near = torch.tanh(query) @ codes.T / QUERY_BITS
        slots = self.nearest(query.flatten(0, -2)).view(*query.shape[:-1], -1)
        outside = torch.ones_like(logits, dtype=torch.bool).scatter(-1, slots, False)
        return (logits + near).masked_fill(outside, -torch.inf)
