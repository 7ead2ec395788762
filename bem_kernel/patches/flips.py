"""Which coefficients of an algebraic normal form to flip, so that an expert earns more.

An output is a sum modulo two of products of inputs. Flipping the coefficient of a product inverts
the output wherever the product is 1, so a set of flips is worth the sum of what inverting gains in
the rows where an odd number of its products is 1. Sets of up to two products are searched
exhaustively, by one matrix product; larger sets grow from those. Where that leaves something to be
gained, SAT decides whether a few products fit every row, and the same is tried with the inputs that
are 0 in the dearest row inverted throughout: a case of its own takes 2**k coefficients in one
polarity, and one in the other.

Source: BEM core spec 8.3, step 5; Reed 1954, Muller 1954 (forms of fixed polarity).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bem_kernel.lanes import Bits
from bem_kernel.logic.cnf import Cnf, cnf_from_clauses
from bem_kernel.sat.check import Satisfiable, check

Product = tuple[int, ...]
"""Inputs that are multiplied, input i inverted as ~i; () is the constant 1."""

_BUDGET = 500
"""Conflicts spent on finding an exact fit of one size."""

LARGEST_GAIN = 1 << 20
"""What a row may gain or lose; more, such as what forbids a row, counts as this in a deviation."""

_PARTS = 32
"""A product that gains less than this part of what there is to gain is not worth having."""


@dataclass(frozen=True)
class Limits:
    """How far a search for flips goes.

    Attributes:
        products: most coefficients to flip in one output.
        degree: most inputs in a product.
        candidates: most products to look at, those of low degree first.
        rows: most different rows for which an exact fit is looked for.
        significance: what a gain has to exceed, in squares of the standard deviation that it would
            have if every row were as likely to lose as to gain.
    """

    products: int = 4
    degree: int = 3
    candidates: int = 256
    rows: int = 128
    significance: int = 12


@dataclass(frozen=True)
class Flips:
    """Coefficients of one output to flip.

    Attributes:
        products: which.
        gain: what that is worth on the rows.
    """

    products: tuple[Product, ...] = ()
    gain: int = 0


NONE = Flips()


def best_flips(inputs: Bits, gains: NDArray[np.int64], limits: Limits) -> Flips:
    """The flips that are worth most; of equals the fewest, and none that may well be chance.

    Args:
        inputs: (rows, inputs) bool.
        gains: (rows,) int64, what is gained by inverting the output in a row.
        limits: of the search.

    Returns:
        Exactly the best of up to two products; of larger sets, the best found.
    """
    rows, place = np.unique(inputs, axis=0, return_inverse=True)
    worth = np.zeros(len(rows), dtype=np.int64)
    np.add.at(worth, place.ravel(), gains)
    most = int(worth[worth > 0].sum())
    squares = np.zeros(len(rows), dtype=np.int64)
    np.add.at(squares, place.ravel(), np.clip(gains, -LARGEST_GAIN, LARGEST_GAIN) ** 2)
    if most * most < limits.significance * int(squares[worth > 0].sum()) or not most:
        return NONE
    dearest = rows[worth.argmax()]
    found = [_search(rows, worth, limits, np.zeros_like(dearest))]
    if found[0].gain < most and not dearest.all():
        found.append(_search(rows, worth, limits, ~dearest))
    best = max(found, key=lambda flips: (flips.gain, -len(flips.products)))
    chance = int(squares[inverted_by(best.products, rows)].sum())
    if best.gain <= 0 or best.gain * best.gain < limits.significance * chance:
        return NONE
    return best


def inverted_by(products: Iterable[Product], inputs: Bits) -> Bits:
    """The rows in which an odd number of products is 1.

    Args:
        products: any.
        inputs: (rows, inputs) bool.
    """
    odd: Bits = np.zeros(len(inputs), dtype=np.bool_)
    for product in products:
        values = [inputs[:, i] if i >= 0 else ~inputs[:, ~i] for i in product]
        odd ^= np.all(values, axis=0) if values else True
    return odd


def _search(rows: Bits, worth: NDArray[np.int64], limits: Limits, negative: Bits) -> Flips:
    """The best flips of the normal form in which some inputs occur inverted, all others plain."""
    products, values = _products(rows ^ negative, limits)
    best = _pursue(values, worth, limits.products)
    most = int(worth[worth > 0].sum())
    if _gain(values, worth, best) < most and len(rows) <= limits.rows:
        best = _fit(values, worth, limits.products) or best
    signed = (tuple(~i if negative[i] else i for i in products[chosen]) for chosen in best)
    return Flips(tuple(signed), _gain(values, worth, best))


def _products(rows: Bits, limits: Limits) -> tuple[list[Product], Bits]:
    """Products that differ on the rows, of low degree first, with their values (products, rows)."""
    found: dict[bytes, tuple[Product, Bits]] = {}
    for product in _by_degree(rows.shape[1], limits.degree):
        values: Bits = np.all(rows[:, list(product)], axis=1)
        if values.any():
            found.setdefault(values.tobytes(), (product, values))
        if len(found) == limits.candidates:
            break
    return [product for product, _ in found.values()], np.array([v for _, v in found.values()])


def _by_degree(n_inputs: int, degree: int) -> Iterator[Product]:
    for size in range(min(degree, n_inputs) + 1):
        yield from combinations(range(n_inputs), size)


def _pursue(values: Bits, worth: NDArray[np.int64], most: int) -> tuple[int, ...]:
    """Products by exhaustive search of one or two at a time, as long as they gain."""
    price = 1 + int(worth[worth > 0].sum()) // _PARTS
    chosen: tuple[int, ...] = ()
    while len(chosen) < most:
        rest = np.where(_parity(values, chosen), -worth, worth)
        step = _best_pair(values, rest, price, single=most - len(chosen) == 1)
        if _gain(values, rest, step) < price * len(step):
            break
        chosen = tuple(sorted(set(chosen) ^ set(step)))
    return chosen


def _best_pair(
    values: Bits, worth: NDArray[np.int64], price: int, *, single: bool
) -> tuple[int, ...]:
    """The best one or two products: of i and j, s_i + s_j - 2 s_ij."""
    weighted = values * worth
    alone = weighted.sum(axis=1)
    one = int(alone.argmax())
    if single or len(values) < 2:
        return (one,)
    both = alone[:, None] + alone[None, :] - 2 * (weighted @ values.T.astype(np.int64))
    i, j = (int(k) for k in np.unravel_index(both.argmax(), both.shape))
    return (i, j) if int(both[i, j]) >= int(alone[one]) + price else (one,)


def _fit(values: Bits, worth: NDArray[np.int64], most: int) -> tuple[int, ...]:
    """The fewest products that invert every row with a gain and none with a loss, by SAT."""
    for size in range(1, most + 1):
        cnf = _fitting(values, worth, size)
        verdict = check(cnf, budget=_BUDGET, hand_over=False)
        if isinstance(verdict, Satisfiable):
            return tuple(np.flatnonzero(verdict.model[: len(values)]).tolist())
    return ()


def _fitting(values: Bits, worth: NDArray[np.int64], most: int) -> Cnf:
    """That at most `most` products, variables 1, 2, 3 …, fit the rows."""
    n_vars = len(values)
    clauses: list[list[int]] = []
    for row in np.flatnonzero(worth):
        total, *others = (np.flatnonzero(values[:, row]) + 1).tolist()
        for other in others:
            n_vars += 1
            clauses += _xor(n_vars, total, other)
            total = n_vars
        clauses.append([total if worth[row] > 0 else -total])
    return cnf_from_clauses(*_at_most(len(values), most, clauses, n_vars))


def _at_most(
    count: int, most: int, clauses: list[list[int]], n_vars: int
) -> tuple[list[list[int]], int]:
    """That at most some of variables 1 .. count hold: a sequential counter (Sinz 2005)."""
    counted = [0] * (most + 1)  # counted[j]: at least j + 1 of those before
    for variable in range(1, count + 1):
        new = list(range(n_vars + 1, n_vars + 1 + most))
        n_vars += most
        clauses.append([-variable, new[0]])
        for j in range(most):
            if counted[j]:
                clauses.append([-counted[j], new[j]])
                clauses.append(
                    [-variable, -counted[j], new[j + 1]]
                    if j + 1 < most
                    else [-variable, -counted[j]]
                )
        counted = [*new, 0]
    return clauses, n_vars


def _xor(out: int, a: int, b: int) -> list[list[int]]:
    return [[-out, a, b], [-out, -a, -b], [out, -a, b], [out, a, -b]]


def _parity(values: Bits, chosen: tuple[int, ...]) -> Bits:
    odd: Bits = np.bitwise_xor.reduce(values[list(chosen)], axis=0)
    return odd


def _gain(values: Bits, worth: NDArray[np.int64], chosen: tuple[int, ...]) -> int:
    return int(worth[_parity(values, chosen)].sum())
