"""Kernels that only borrow their arrays: numba's reference counts are left out of them.

numba counts a reference, atomically, for each array taken out of a tuple or sliced. The kernels of
experts and runner hand tuples of a dozen arrays down several calls, which made a step of the fast
path three times as slow (3.3 instead of 1.1 microseconds). The caller in Python holds every array
while a kernel runs, so there is nothing to count, provided the kernel makes no arrays: numba
refuses to compile one that does.
"""

from __future__ import annotations

from typing import Any


def borrows(dispatcher: Any) -> Any:
    """Compile a kernel without reference counts; stands above `@kernel`.

    Args:
        dispatcher: made by `compiled.kernel`, not compiled yet.

    Returns:
        The same dispatcher.
    """
    dispatcher.targetoptions["_nrt"] = False
    return dispatcher
