"""Cells of an int32 array without numba's test for negative positions.

numba lets -1 mean the last cell and pays for it at every access. Positions here are never
negative; the inner loops of the solver are a third quicker without the test. Two neighbouring
cells, the first at an even position, also serve as one of 64 bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_CELL_BYTES = 4
_INT64 = ir.IntType(64)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return cgutils.gep(builder, data, position)  # type: ignore[no-untyped-call]


def _wide_pointer(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Any:
    narrow = _pointer(context, builder, array_type, array, position)
    return builder.bitcast(narrow, _INT64.as_pointer())


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


def _wide(typingctx: Any, cells: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _wide_pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=_CELL_BYTES)

    return types.int64(cells, types.int64), generate


def _put_wide(typingctx: Any, cells: Any, position: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, position, value = args
        pointer = _wide_pointer(context, builder, signature.args[0], array, position)
        builder.store(value, pointer, align=_CELL_BYTES)
        return context.get_dummy_value()

    return types.void(cells, types.int64, types.int64), generate


cell: Any = intrinsic(_cell)
"""cell(cells, position): the int32 at a position that is not negative."""

put: Any = intrinsic(_put)
"""put(cells, position, value): set it."""

wide: Any = intrinsic(_wide)
"""wide(cells, position): the int64 in the cells at an even position and after it."""

put_wide: Any = intrinsic(_put_wide)
"""put_wide(cells, position, value): set it."""
