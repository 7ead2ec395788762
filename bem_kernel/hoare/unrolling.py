"""Several steps of a transition system as clauses.

Variable 1 is true, 2 to n + 1 are the state in which the first step begins; each step brings
variables for its free inputs and its gates. The next state is literals of the step before, so no
variable is spent on it, and none on NOT and constants.

Source: Biere, Cimatti, Clarke and Zhu 1999 (bounded model checking); Tseitin 1968.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bem_kernel.circuits.circuit import Circuit, Op
from bem_kernel.hoare.transition import TransitionSystem
from bem_kernel.logic.cnf import Cnf
from bem_kernel.logic.tseitin import gate_clauses

TRUE = 1

_Row = NDArray[np.int32]
Clause = list[int]


@dataclass(frozen=True, eq=False)
class Frame:
    """One step, as literals.

    Attributes:
        state: (n_state,) int32, before it.
        free: (n_free,) int32, its inputs.
        following: (n_state,) int32, the state after it.
        allowed: whether it is allowed.
        bad: whether it is bad.
    """

    state: _Row
    free: _Row
    following: _Row
    allowed: int
    bad: int


@dataclass(frozen=True, eq=False)
class _Template:
    """The clauses of a circuit, to be copied.

    Attributes:
        n_vars: of the copy: true, the inputs, the gates.
        literals: flat.
        sizes: of each clause.
        outputs: literals.
    """

    n_vars: int
    literals: _Row
    sizes: _Row
    outputs: _Row


def _template(circuit: Circuit) -> _Template:
    """Clauses over 1 (true), 2 … (inputs), then a variable for each gate that needs one."""
    slots = list(range(TRUE + 1, TRUE + 1 + circuit.n_inputs))
    following = TRUE + 1 + circuit.n_inputs
    literals: list[int] = []
    sizes: list[int] = []
    for gate in circuit.gates:
        if gate.op in (Op.CONST0, Op.CONST1):
            slots.append(TRUE if gate.op is Op.CONST1 else -TRUE)
        elif gate.op is Op.NOT:
            slots.append(-slots[gate.a])
        else:
            for clause in gate_clauses(gate, following, slots[gate.a], slots[gate.b]):
                literals += clause
                sizes.append(len(clause))
            slots.append(following)
            following += 1
    outputs = np.array([slots[s] for s in circuit.outputs], dtype=np.int32)
    return _Template(
        following - 1, np.array(literals, dtype=np.int32), np.array(sizes, dtype=np.int32), outputs
    )


class Unrolling:
    """A growing row of steps.

    Attributes:
        frames: so far.
        n_vars: variables so far.
    """

    def __init__(self, system: TransitionSystem) -> None:
        self.system = system
        self.frames: list[Frame] = []
        self.n_vars = TRUE + system.n_state
        self.first: _Row = np.arange(TRUE + 1, TRUE + 1 + system.n_state, dtype=np.int32)
        self._parts: list[tuple[_Row, _Row]] = []
        self._fresh: list[Clause] = []
        self.add([TRUE])

    @cached_property
    def _step(self) -> _Template:
        return _template(self.system.step)

    def add(self, clause: Clause) -> None:
        """Add a clause."""
        self._parts.append((np.array(clause, dtype=np.int32), np.array([len(clause)], np.int32)))
        self._fresh.append(clause)

    def new(self) -> int:
        """A new variable."""
        self.n_vars += 1
        return self.n_vars

    def grow(self) -> Frame:
        """Add a step, after the last one."""
        n = self.system.n_state
        state = self.frames[-1].following if self.frames else self.first
        first = self.n_vars + 1
        outputs = self._copy(self._step, state)
        free = np.arange(first, first + self.system.n_free, dtype=np.int32)
        frame = Frame(state, free, outputs[:n], int(outputs[n]), int(outputs[n + 1]))
        self.frames.append(frame)
        return frame

    def begins(self) -> list[Clause]:
        """Clauses that say that the first state is one where runs begin.

        The gates that they need are added; the clauses are returned, to be added by who wants.
        """
        fixed = zip(self.first.tolist(), self.system.first, strict=True)
        units = [[x if value else -x] for x, value in fixed if value is not None]
        (literal,) = self._copy(_template(self.system.initial), self.first[list(self.system.also)])
        return units if literal == TRUE else [*units, [int(literal)]]

    def distinct(self, i: int, j: int) -> None:
        """Add that the states before steps i and j are not the same."""
        differences = []
        pairs = zip(self.frames[i].state.tolist(), self.frames[j].state.tolist(), strict=True)
        for x, y in pairs:
            if x == -y:
                return
            if x != y:
                differ = self.new()
                self.add([-differ, x, y])
                self.add([-differ, -x, -y])
                differences.append(differ)
        self.add(differences)

    def take(self) -> list[Clause]:
        """The clauses that came since the last call, for a solver that is fed bit by bit."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def cnf(self) -> Cnf:
        """All clauses."""
        sizes = np.concatenate([size for _, size in self._parts])
        offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
        np.cumsum(sizes, out=offsets[1:])
        return Cnf(self.n_vars, offsets, np.concatenate([literals for literals, _ in self._parts]))

    def _copy(self, template: _Template, inputs: _Row) -> _Row:
        """Copy a circuit's clauses; inputs that are not given get new variables."""
        known = np.concatenate([np.array([0, TRUE], dtype=np.int32), inputs])
        count = template.n_vars + 1 - len(known)
        fresh = np.arange(self.n_vars + 1, self.n_vars + 1 + count, dtype=np.int32)
        self.n_vars += count
        meaning = np.concatenate([known, fresh])
        literals = np.sign(template.literals) * meaning[np.abs(template.literals)]
        self._parts.append((literals.astype(np.int32), template.sizes))
        flat, at = literals.tolist(), 0
        for size in template.sizes.tolist():
            self._fresh.append(flat[at : at + size])
            at += size
        outputs: _Row = np.sign(template.outputs) * meaning[np.abs(template.outputs)]
        return outputs
