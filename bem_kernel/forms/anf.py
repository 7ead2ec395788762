"""Algebraic normal form: every function as an XOR of products of inputs, by the Möbius transform.

Coefficient r belongs to the product of the inputs whose bits are set in r; coefficient 0 to the
constant 1. The transform over GF(2) turns a truth table into its coefficients and is its own
inverse, so equal functions have equal coefficients.

Source: BEM core spec 5.2; Zhegalkin 1927.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ShapeError
from bem_kernel.forms.packed_table import PackedTable, check_words
from bem_kernel.lanes import Planes, unpack_bits


@dataclass(frozen=True, eq=False)
class Anf:
    """m functions of n inputs by their coefficients.

    Attributes:
        n_inputs: n, at most 24.
        words: (m, max(1, 2**n / 64)) uint64, contiguous; coefficient r of a function is bit
            r % 64 of word r // 64, and bits past coefficient 2**n - 1 are 0.

    Raises:
        ShapeError: `words` is something else.
    """

    n_inputs: int
    words: Planes

    def __post_init__(self) -> None:
        check_words(self.words, self.n_inputs, where="anf")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Anf):
            return NotImplemented
        return self.n_inputs == other.n_inputs and np.array_equal(self.words, other.words)

    def __hash__(self) -> int:
        return hash((self.n_inputs, self.words.tobytes()))


def moebius(words: Planes, n: int) -> Planes:
    """Turn packed truth tables of n inputs into packed coefficients, or back.

    Args:
        words: (m, max(1, 2**n / 64)) uint64, contiguous, padding 0.
        n: number of inputs.

    Returns:
        An array of the same shape, a new one.

    Raises:
        ShapeError: `words` has another shape.
    """
    from bem_kernel.forms.moebius_kernel import transform

    check_words(words, n, where="anf.moebius")
    result = words.copy()
    transform(result, n)
    return result


def anf_from_table(table: PackedTable) -> Anf:
    """The coefficients of the functions in a table."""
    return Anf(table.n_inputs, moebius(table.words, table.n_inputs))


def table_from_anf(anf: Anf) -> PackedTable:
    """Inverse of `anf_from_table`."""
    return PackedTable(anf.n_inputs, moebius(anf.words, anf.n_inputs))


def products(anf: Anf, output: int) -> list[int]:
    """The products of one function, each as the set of its inputs in the bits of a number.

    Shorter products first; among equally long ones, that with the lower inputs first.
    """
    coefficients = unpack_bits(anf.words[[output]], 1 << anf.n_inputs)
    found: list[int] = np.flatnonzero(coefficients).tolist()
    return sorted(found, key=lambda product: (product.bit_count(), _inputs(product)))


def expression_from_anf(anf: Anf, output: int, names: Sequence[str]) -> str:
    """One function as text that `expression.compile_expression` reads: `true ^ a ^ b & c`.

    Raises:
        ShapeError: `names` does not have one name per input.
    """
    if len(names) != anf.n_inputs:
        raise ShapeError(
            f"{len(names)} names for {anf.n_inputs} inputs",
            where="anf.expression_from_anf",
            fix="give one name per input",
        )
    return expression(products(anf, output), names)


def expression(terms: Sequence[int], names: Sequence[str]) -> str:
    """Products, as `products` gives them, as text with a name for each input."""
    texts = [" & ".join(names[i] for i in _inputs(product)) or "true" for product in terms]
    return " ^ ".join(texts) or "false"


def circuit_from_anf(anf: Anf) -> Circuit:
    """The circuit that XORs the products, sharing common products; n inputs and m outputs."""
    builder = CircuitBuilder(anf.n_inputs)
    slot_of = {0: builder.const(True)}
    outputs = []
    for coefficients in unpack_bits(anf.words, 1 << anf.n_inputs).T:
        total = builder.const(False)
        for product in np.flatnonzero(coefficients).tolist():
            total = builder.xor(total, _product(builder, product, slot_of))
        outputs.append(total)
    return builder.build(outputs)


def _product(builder: CircuitBuilder, product: int, slot_of: dict[int, int]) -> int:
    """AND of the inputs in the set, lowest first, so that products share their beginnings."""
    made, missing = product, []
    while made not in slot_of:
        missing.append(made.bit_length() - 1)
        made ^= 1 << missing[-1]
    slot = slot_of[made]
    for i in reversed(missing):
        made |= 1 << i
        slot_of[made] = slot = builder.and_(slot, i)
    return slot


def _inputs(product: int) -> list[int]:
    return [i for i in range(product.bit_length()) if product >> i & 1]
