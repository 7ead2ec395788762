"""Experts: Boolean step functions on the lane state.

An expert reads fixed bits x = R(s), computes y = C(x), and writes y back to fixed bits. An
`ExpertTemplate` has address expressions in place of bit numbers, so that one circuit serves every
handle slot: `bind(template, {"order": 3})` is the expert for order slot 3.

This version reads and writes the bit-sliced state s; the shared memory M is not built yet.

Source: BEM core spec 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.circuits.expression import atoms, compile_expressions
from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import ExpertError
from bem_kernel.lanes import Planes, Word, check_planes


@dataclass(frozen=True)
class Expert:
    """A total function on the state, the same in every lane.

    Attributes:
        name: for messages and listings.
        reads: state bit of each circuit input.
        circuit: what is computed.
        writes: state bit of each circuit output, each bit at most once.

    Raises:
        ExpertError: a count does not match the circuit, or a bit is negative or written twice.
    """

    name: str
    reads: tuple[int, ...]
    circuit: Circuit
    writes: tuple[int, ...]

    def __post_init__(self) -> None:
        where = f"expert {self.name}"
        _check_count(where, "reads", len(self.reads), self.circuit.n_inputs)
        _check_count(where, "writes", len(self.writes), self.circuit.n_outputs)
        if min((*self.reads, *self.writes), default=0) < 0:
            raise ExpertError("a state bit is negative", where=where, fix="use bits from 0 up")
        if len(set(self.writes)) != len(self.writes):
            raise ExpertError(
                "a state bit is written twice", where=where, fix="write each bit once"
            )

    @property
    def n_bits(self) -> int:
        """The smallest number of state bits this expert can run on."""
        return 1 + max((*self.reads, *self.writes), default=-1)

    @cached_property
    def _reads_index(self) -> NDArray[np.intp]:
        return np.array(self.reads, dtype=np.intp)

    @cached_property
    def _writes_index(self) -> NDArray[np.intp]:
        return np.array(self.writes, dtype=np.intp)


def _check_count(where: str, what: str, have: int, need: int) -> None:
    if have != need:
        raise ExpertError(
            f"{what} names {have} bits, the circuit has {need}",
            where=where,
            fix=f"give one bit per {'input' if what == 'reads' else 'output'}",
        )


def expert_from_expressions(
    name: str, assignments: Mapping[str, str], bit_of: Mapping[str, int]
) -> Expert:
    """An expert from text: target bit <- expression over the state before the step.

    Args:
        name: the expert's name.
        assignments: expression per target atom, all evaluated on the old state.
        bit_of: state bit of every atom.

    Raises:
        ExpressionError: an expression does not parse or names an unknown atom.
        ExpertError: a target is not in `bit_of`.
    """
    for target in assignments:
        if target not in bit_of:
            raise ExpertError(
                f"unknown target {target!r}", where=f"expert {name}", fix="declare its bit first"
            )
    used = dict.fromkeys(atom for text in assignments.values() for atom in atoms(text))
    known = [atom for atom in used if atom in bit_of]
    circuit = compile_expressions(list(assignments.values()), known)
    return Expert(
        name,
        tuple(bit_of[atom] for atom in known),
        circuit,
        tuple(bit_of[target] for target in assignments),
    )


def step(expert: Expert, state: Planes, mask: Word | None = None) -> Planes:
    """Apply an expert once in every lane.

    Args:
        expert: the step function.
        state: (N, words) uint64; not changed.
        mask: (words,) uint64, the lanes that step; the others keep their state. None: all lanes.

    Returns:
        (N, words) uint64, the next state.

    Raises:
        ShapeError: `state` is not (N, words) uint64.
        ExpertError: the expert needs more bits than the state has, or `mask` has another width.
    """
    return step_batch([(expert, mask)], state)


def step_batch(batch: Sequence[tuple[Expert, Word | None]], state: Planes) -> Planes:
    """Apply several experts at once, each in its own lanes.

    Args:
        batch: experts with their lane masks, (words,) uint64 each; no lane may be in two masks.
            A mask of None means all lanes.
        state: (N, words) uint64; not changed.

    Returns:
        (N, words) uint64, the next state; lanes in no mask keep theirs.

    Raises:
        ShapeError: `state` is not (N, words) uint64.
        ExpertError: two masks share a lane, a mask has another width, or an expert does not fit.

    Source: BEM core spec 6.5, BEM_EXPERT_BATCH.
    """
    check_planes(state, where="expert.step")
    if any(mask is not None for _, mask in batch) or len(batch) > 1:
        _check_masks(batch, state.shape[1])
    after = state.copy()
    for expert, mask in batch:
        if expert.n_bits > state.shape[0]:
            raise ExpertError(
                f"needs {expert.n_bits} state bits, the state has {state.shape[0]}",
                where=f"expert {expert.name}",
                fix="use a larger state",
            )
        outputs = evaluate(expert.circuit, state[expert._reads_index])
        if mask is not None:
            outputs = (after[expert._writes_index] & ~mask) | (outputs & mask)
        after[expert._writes_index] = outputs
    return after


def _check_masks(batch: Sequence[tuple[Expert, Word | None]], words: int) -> None:
    taken = np.zeros(words, dtype=np.uint64)
    for position, (expert, mask) in enumerate(batch):
        lanes = np.invert(np.zeros(words, dtype=np.uint64)) if mask is None else mask
        if lanes.shape != (words,) or lanes.dtype != np.uint64:
            raise ExpertError(
                f"mask is {lanes.dtype} of shape {lanes.shape}, the state has {words} words",
                where=f"expert {expert.name}",
                fix="give (words,) uint64",
            )
        if position and (taken & lanes).any():
            raise ExpertError(
                "a lane is in the masks of two experts",
                where=f"expert {expert.name}",
                fix="make the masks disjoint",
            )
        taken |= lanes


@dataclass(frozen=True)
class Address:
    """A state bit as an affine expression: base + sum of stride * value over parameters.

    Attributes:
        base: the bit when every parameter is 0.
        terms: (parameter, stride) pairs; a parameter is a handle slot number.
    """

    base: int
    terms: tuple[tuple[str, int], ...] = ()


_TERM = re.compile(r"\s*(?:(\d+)\s*\*\s*([A-Za-z_]\w*)|([A-Za-z_]\w*)|(\d+))\s*")


def parse_address(text: str) -> Address:
    """Parse `12 + 6*order + customer`: sums of numbers, parameters and number*parameter.

    Raises:
        ExpertError: anything else.
    """
    base = 0
    terms: dict[str, int] = {}
    for part in text.split("+"):
        match = _TERM.fullmatch(part)
        if match is None:
            raise ExpertError(
                f"cannot read {part.strip()!r}",
                where=f"address {text!r}",
                fix="write sums such as 12 + 6*order",
            )
        stride, scaled, plain, number = match.groups()
        if number is not None:
            base += int(number)
        else:
            parameter = scaled or plain
            terms[parameter] = terms.get(parameter, 0) + int(stride or 1)
    return Address(base, tuple(terms.items()))


@dataclass(frozen=True)
class ExpertTemplate:
    """An expert whose state bits depend on parameters; see `bind`."""

    name: str
    reads: tuple[Address, ...]
    circuit: Circuit
    writes: tuple[Address, ...]


def bind(template: ExpertTemplate, values: Mapping[str, int]) -> Expert:
    """The expert of `template` for these parameter values.

    Args:
        template: addresses and circuit; the circuit is shared by all bindings, so that engines
            compile it once.
        values: one number of 0 or more per parameter, for example {"order": 3}.

    Raises:
        ExpertError: a parameter has no value, or the bindings collide on a written bit.
    """

    def resolve(address: Address) -> int:
        missing = [name for name, _ in address.terms if name not in values]
        if missing:
            raise ExpertError(
                f"no value for parameter {missing[0]!r}",
                where=f"expert {template.name}",
                fix=f"bind {missing[0]} to a slot number",
            )
        return address.base + sum(stride * values[name] for name, stride in address.terms)

    arguments = ",".join(f"{name}={value}" for name, value in values.items())
    return Expert(
        f"{template.name}[{arguments}]" if arguments else template.name,
        tuple(map(resolve, template.reads)),
        template.circuit,
        tuple(map(resolve, template.writes)),
    )
