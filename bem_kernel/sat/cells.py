"""Cells of an int32 array without numba's test for negative positions.

numba lets -1 mean the last cell and pays for it at every access. Positions here are never
negative; the inner loops of the solver are a third quicker without the test.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return cgutils.gep(builder, data, position)  # type: ignore[no-untyped-call]


def _cell(typingctx: Any, cells: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args))

    return types.int32(cells, types.int64), generate


def _put(typingctx: Any, cells: Any, position: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, position, value = args
        builder.store(value, _pointer(context, builder, signature.args[0], array, position))
        return context.get_dummy_value()

    return types.void(cells, types.int64, types.int32), generate


cell: Any = intrinsic(_cell)
"""cell(cells, position): the int32 at a position that is not negative."""

put: Any = intrinsic(_put)
"""put(cells, position, value): set it."""
