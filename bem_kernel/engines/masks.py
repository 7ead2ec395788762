"""Gates without branches: each operation as the masks of its algebraic normal form.

Operation op on words a and b is c0 ^ (ca & a) ^ (cb & b) ^ (cab & a & b), where row op of `MASKS`
holds c0, ca, cb, cab, each all ones or all zeros.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.circuits.circuit import Op

_ALL = 0xFFFF_FFFF_FFFF_FFFF
_NORMAL_FORMS = {
    Op.AND: (0, 0, 0, 1),
    Op.OR: (0, 1, 1, 1),
    Op.XOR: (0, 1, 1, 0),
    Op.NOT: (1, 1, 0, 0),
    Op.ANDN: (0, 1, 0, 1),
    Op.CONST0: (0, 0, 0, 0),
    Op.CONST1: (1, 0, 0, 0),
}
MASKS = np.array([[_ALL * bit for bit in _NORMAL_FORMS[op]] for op in Op], dtype=np.uint64)
"""(operations, 4) uint64, indexed by `Op`."""
