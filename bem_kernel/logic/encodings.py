"""Counting and numbers as clauses: at most k of some literals, weighted sums, words of bits.

Cardinalities are python-sat's, which has the known encodings; sums of weights and numbers are
circuits of `circuits.arith`, by Tseitin. A clause set here says no more than it is asked about the
literals that it is given: each of their assignments that meets it extends to one model at least,
and no other does. Variables from `top + 1` on are new.

Source: BEM core spec 9.1; Bailleux and Boufkhad 2003 (totalizer), Sinz 2005 (counter), Ogawa et
al. 2013 and Morgado et al. 2014 (modulo totalizers), as in python-sat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bem_kernel.circuits import arith
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import CnfError
from bem_kernel.logic.tseitin import encode_gates, output_literals

Clause = list[int]


@dataclass(frozen=True)
class Clauses:
    """Some clauses.

    Attributes:
        rows: DIMACS literals of each.
        top: the highest variable in use.
    """

    rows: tuple[Clause, ...]
    top: int


class Counting(StrEnum):
    """How to count.

    AUTO: pairs up to 6 literals where one is the bound, else K_MODULO.
    PAIRS: every two literals; only for a bound of 1, no new variables.
    COUNTER: sequential; n·k clauses, propagates at once.
    TOTALIZER: a tree of unary numbers.
    K_MODULO: the tree with numbers cut at k and in two digits: fewest clauses for large bounds.
    """

    AUTO = "auto"
    PAIRS = "pairwise"
    COUNTER = "seqcounter"
    TOTALIZER = "totalizer"
    K_MODULO = "kmtotalizer"


_FEW = 6


def at_most(
    literals: Sequence[int], bound: int, top: int, counting: Counting = Counting.AUTO
) -> Clauses:
    """At most `bound` of some literals are true.

    Args:
        literals: DIMACS literals; one that appears twice counts twice.
        bound: 0 or more is met by some assignment, less by none.
        top: the highest variable in use anywhere.
        counting: how.

    Raises:
        CnfError: a literal is 0 or above `top`, or PAIRS is asked for another bound than 1.
    """
    _check(literals, top)
    if bound < 0:
        return Clauses(([],), top)
    if bound >= len(literals):
        return Clauses((), top)
    if bound == 0:
        return Clauses(tuple([-x] for x in literals), top)
    if counting is Counting.AUTO:
        few = bound == 1 and len(literals) <= _FEW
        counting = Counting.PAIRS if few else Counting.K_MODULO
    if counting is Counting.PAIRS and bound != 1:
        raise CnfError(f"pairs for at most {bound}", where="encodings", fix="use another counting")
    from pysat.card import CardEnc, EncType

    kind = getattr(EncType, counting.value)
    found = CardEnc.atmost(list(literals), bound, top_id=top, encoding=kind)
    return Clauses(tuple(found.clauses), max(top, found.nv))


def at_least(
    literals: Sequence[int], bound: int, top: int, counting: Counting = Counting.AUTO
) -> Clauses:
    """At least `bound` of some literals are true; arguments and errors as for `at_most`."""
    if bound == 1:
        _check(literals, top)
        return Clauses(([*literals],), top)
    return at_most([-x for x in literals], len(literals) - bound, top, counting)


def exactly(
    literals: Sequence[int], bound: int, top: int, counting: Counting = Counting.AUTO
) -> Clauses:
    """Exactly `bound` of some literals are true; arguments and errors as for `at_most`."""
    low = at_least(literals, bound, top, counting)
    high = at_most(literals, bound, low.top, counting)
    return Clauses((*low.rows, *high.rows), high.top)


def weighted_at_most(
    literals: Sequence[int], weights: Sequence[int], bound: int, top: int
) -> Clauses:
    """The weights of the true literals add up to at most `bound`.

    A negative weight counts as its positive one on the negated literal, less itself.

    Args:
        literals: DIMACS literals.
        weights: one for each.
        bound: any integer.
        top: the highest variable in use anywhere.

    Raises:
        CnfError: a literal is 0 or above `top`, or there is not one weight for each.
    """
    _check(literals, top)
    if len(weights) != len(literals):
        raise CnfError(
            f"{len(weights)} weights for {len(literals)} literals",
            where="encodings",
            fix="give one for each",
        )
    pairs = [(x, w) if w > 0 else (-x, -w) for x, w in zip(literals, weights, strict=True) if w]
    bound -= sum(w for w in weights if w < 0)
    if bound < 0:
        return Clauses(([],), top)
    if sum(w for _, w in pairs) <= bound:
        return Clauses((), top)
    circuit = _sum_within([w for _, w in pairs], bound)
    found = word_circuit(circuit, [x for x, _ in pairs], top)
    return Clauses((*found.rows, [found.outputs[0]]), found.top)


@dataclass(frozen=True)
class Words(Clauses):
    """A circuit over literals.

    Attributes:
        outputs: their literals, the lowest bit first where they are a number.
    """

    outputs: tuple[int, ...]


def word_circuit(circuit: Circuit, inputs: Sequence[int], top: int) -> Words:
    """Any circuit over literals: `arith.add(8)` on sixteen makes the sum of two bytes.

    Args:
        circuit: such as those of `circuits.arith`, composed by `>>` and `|`.
        inputs: a literal for each of its inputs.
        top: the highest variable in use anywhere.

    Raises:
        CnfError: not one literal per input, or one is 0 or above `top`.
    """
    _check(inputs, top)
    rows = encode_gates(circuit, inputs, top + 1)
    outputs = output_literals(circuit, inputs, top + 1)
    return Words(tuple(rows), top + len(circuit.gates), outputs)


def _sum_within(weights: Sequence[int], bound: int) -> Circuit:
    """Whether the weights of the inputs that are 1 add up to at most `bound`.

    Column by column: full and half adders on the bits of one weight until one is left, then a
    comparison with the bound (Warners 1998).
    """
    builder = CircuitBuilder(len(weights))
    width = sum(weights).bit_length()
    columns: list[list[int]] = [
        [i for i, weight in enumerate(weights) if weight >> bit & 1] for bit in range(width + 1)
    ]
    total = []
    for bit in range(width):
        column = columns[bit]
        while len(column) > 1:
            a, b = column.pop(), column.pop()
            c = column.pop() if column else builder.const(False)
            either = builder.xor(a, b)
            column.insert(0, builder.xor(either, c))
            carry = builder.or_(builder.and_(a, b), builder.and_(either, c))
            columns[bit + 1].append(carry)
        total.append(column[0] if column else builder.const(False))
    limit = [builder.const(bool(bound >> bit & 1)) for bit in range(width)]
    (above,) = builder.embed(arith.less_than(width), [*limit, *total])
    return builder.build([builder.not_(above)])


def _check(literals: Sequence[int], top: int) -> None:
    for literal in literals:
        if not 1 <= abs(literal) <= top:
            raise CnfError(
                f"literal {literal}", where="encodings", fix=f"use 1 to {top} or their negations"
            )
