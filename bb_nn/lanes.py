"""The lanes of the builder rail: Boolean programs that step along a sequence of tokens.

A lane belongs to one sequence. It reads the text as bytes, so that it works with any tokenizer,
and keeps a few state bits that a Boolean circuit steps from token to token:

- in the request it counts the sentences that carry a goal,
- in the plan it counts the goals whose steps are complete,
- it knows which tool is being called, and whether all goals are done once that call closes.

The rail reads these bits as features, and its attention prefers positions whose count equals the
count of the querying position. A count is a circuit, hence right for any number of goals up to
2**COUNTER_BITS - 1, however few were seen in training.

Three small circuits are learned from training traces (`bb_train.programs`): which byte pairs end
a sentence, which bytes show that a sentence carries a goal, and which tools complete a goal.

Sources: DESIGN.md 4, 5; BEM core spec 2.2, 5.1, 6.5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError
from bb_nn.reader import Cursor, Reader, Rules, Snapshot
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.engines.engine import evaluate
from bem_kernel.engines.scan import scan
from bem_kernel.lanes import pack_bits, unpack_bits

COUNTER_BITS = 4
_EVENTS = 5  # sentence end, goal mark, plan begins, goal complete, goal about to be complete
_STATE = 2 + 2 * COUNTER_BITS  # in plan, armed, count, total


def clock_circuit() -> Circuit:
    """The sequential machine of a lane: (state, events) to (next state, next state, done).

    Inputs: in_plan, armed, count[4], total[4], then the events sentence end, goal mark, plan
    begins, goal complete, goal about to be complete. Outputs: the next state in the same order,
    then the same bits again and `done`: all goals will be complete when the open call closes. A
    sentence counts when it carries a mark and ends, or when the plan begins after it.
    """
    b = CircuitBuilder(_STATE + _EVENTS)
    in_plan, armed = 0, 1
    count, total = list(range(2, 6)), list(range(6, 10))
    end, mark, begins, complete, pending = range(10, 15)
    heard = b.or_(armed, mark)
    tick_request = b.and_(b.and_(b.or_(end, begins), heard), b.not_(in_plan))
    tick = b.or_(tick_request, b.and_(complete, in_plan))
    stepped, carry = [], tick
    for bit in count:
        stepped.append(b.xor(bit, carry))
        carry = b.and_(bit, carry)
    next_total = [b.mux(begins, old, new) for old, new in zip(total, stepped, strict=True)]
    keep = b.not_(begins)
    next_count = [b.and_(bit, keep) for bit in stepped]
    next_plan = b.or_(in_plan, begins)
    next_armed = b.and_(heard, b.not_(end))
    differ, carry = b.const(False), pending
    for left, right in zip(next_count, next_total, strict=True):
        differ = b.or_(differ, b.xor(b.xor(left, carry), right))
        carry = b.and_(left, carry)
    done = b.and_(next_plan, b.not_(differ))
    state = [next_plan, next_armed, *next_count, *next_total]
    return b.build([*state, *state, done])


@dataclass(frozen=True)
class LaneRun:
    """What the lanes put out for a batch of token sequences.

    Attributes:
        features: (batch, time, n_features) bool, the bits that the rail embeds.
        counts: (batch, time) int64, the goal each position belongs to.
        registers: (batch, time, 2) int64: the step that begins next, and the last complete step
            that refers to no other (where handles come from); steps counted from 0, -1 for none.
        prefixes: (batch, time) int64, `literal_key` of the literal that is open, -1 for none.
        cursors: for each row the cursor after each token; empty if they were not wanted.
    """

    features: NDArray[np.bool_]
    counts: NDArray[np.int64]
    registers: NDArray[np.int64]
    prefixes: NDArray[np.int64]
    cursors: list[list[Cursor]]


@dataclass(frozen=True)
class LaneProgram:
    """The learned circuits of the lanes and the tools they know.

    Attributes:
        sentence_end: 16 inputs (bits of the previous and of this byte, least significant first),
            one output: this byte begins after the end of a sentence.
        goal_mark: 8 inputs (bits of this byte), one output: the sentence carries a goal.
        completes: ceil(log2(tools + 1)) inputs (number of a tool), one output: the tool's call
            completes a goal.
        tools: names; the number of a tool is its index here plus one.
        learned_bits: bits of information that learning chose, counted as trainable parameters.
    """

    sentence_end: Circuit
    goal_mark: Circuit
    completes: Circuit
    tools: tuple[str, ...]
    learned_bits: int
    clock: Circuit = field(default_factory=clock_circuit)

    @cached_property
    def tool_bits(self) -> int:
        """Bits of a tool's number."""
        return max(1, len(self.tools).bit_length())

    @property
    def n_features(self) -> int:
        """Feature bits: in plan, call open, done, then the number of the tool."""
        return 3 + self.tool_bits

    @cached_property
    def rules(self) -> Rules:
        """The learned circuits as tables: one lane an input, all inputs in one evaluation."""
        numbers = np.arange(len(self.tools) + 1)
        pairs = np.arange(65536)
        return Rules(
            ending=_tabulate(self.sentence_end, pairs, [*range(8, 16), *range(8)]).reshape(256, -1),
            marking=_tabulate(self.goal_mark, np.arange(256), range(8)),
            completing=_tabulate(self.completes, numbers, range(self.tool_bits)),
            numbers={name.encode(): i + 1 for i, name in enumerate(self.tools)},
        )

    def run(
        self,
        tokens: Sequence[Sequence[bytes]],
        cursors: Sequence[Cursor] | None = None,
        keep: bool = True,
    ) -> LaneRun:
        """Step every lane over its tokens.

        Args:
            tokens: for each row the bytes of its tokens, rows of equal length; b"" (padding, a
                special token) leaves the lane as it is.
            cursors: where each row stands; the start of a text if None.
            keep: whether the cursors after the tokens are wanted.

        Returns:
            The bits after each token.
        """
        rows = len(tokens)
        now = list(cursors) if cursors is not None else [Cursor()] * rows
        length = len(tokens[0]) if rows else 0
        events = np.zeros((length, rows, _EVENTS), bool)
        tools = np.zeros((length, rows, 2), np.int64)
        marks = np.zeros((3, rows, length), np.int64)
        lines: list[list[Snapshot]] = []
        for row, (pieces, cursor) in enumerate(zip(tokens, now, strict=True)):
            reader = Reader(self.rules, cursor)
            line = self._read(reader, pieces, (events[:, row], tools[:, row], marks[:, row]), keep)
            lines.append(line)
        outputs = self._step(events, now)
        return self._collect(outputs, tools, marks, lines)

    def _step(self, events: NDArray[np.bool_], cursors: Sequence[Cursor]) -> NDArray[np.bool_]:
        """Run the clock; (time, rows, state + 1) bool, the state bits and `done`."""
        length, rows, _ = events.shape
        start = np.array([[c.state >> k & 1 for k in range(_STATE)] for c in cursors], bool)
        state = pack_bits(start.reshape(rows, _STATE))
        bits = events.transpose(1, 0, 2).reshape(rows, length * _EVENTS)
        inputs = pack_bits(bits).reshape(length, _EVENTS, -1)
        outputs = scan(self.clock, state, inputs)
        flat = unpack_bits(outputs.reshape(length * (_STATE + 1), -1), rows)
        return flat.reshape(rows, length, _STATE + 1).transpose(1, 0, 2)

    def _collect(
        self,
        outputs: NDArray[np.bool_],
        tools: NDArray[np.int64],
        marks: NDArray[np.int64],
        lines: list[list[Snapshot]],
    ) -> LaneRun:
        states = (outputs[:, :, :_STATE] @ (1 << np.arange(_STATE))).T.tolist()
        counts = outputs[:, :, 2 : 2 + COUNTER_BITS] @ (1 << np.arange(COUNTER_BITS))
        numbers = (tools[:, :, :1] >> np.arange(self.tool_bits)) & 1
        flags = [outputs[:, :, :1], tools[:, :, 1:], outputs[:, :, -1:], numbers]
        features = np.concatenate([f.astype(bool) for f in flags], axis=2)
        return LaneRun(
            features=features.transpose(1, 0, 2),
            counts=counts.T.astype(np.int64),
            registers=np.stack([marks[0], marks[1] - 1], axis=2),
            prefixes=marks[2],
            cursors=[
                [Cursor(*snapshot, state) for snapshot, state in zip(line, after, strict=True)]
                for line, after in zip(lines, states, strict=True)
                if line
            ],
        )

    def _read(
        self,
        reader: Reader,
        pieces: Sequence[bytes],
        into: tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]],
        keep: bool,
    ) -> list[Snapshot]:
        """Find the events of one row.

        Fills `into`: events (time, 5), tools (time, 2), and step, source and prefix (3, time).
        """
        events, tools, marks = into
        completing, line = self.rules.completing, []
        for t, piece in enumerate(pieces):
            if piece:
                found = reader.feed(piece)
                if any(found):
                    events[t, :-1] = found
            if reader.depth > 1:
                events[t, -1] = completing[reader.tool]
                tools[t, 1] = 1
            tools[t, 0] = reader.tool
            marks[:, t] = reader.step, reader.source, reader.prefix()
            if keep:
                line.append(reader.snapshot())
        return line

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes the same program."""
        parts = {"sentence_end": self.sentence_end, "goal_mark": self.goal_mark}
        parts |= {"completes": self.completes}
        return {
            "tools": list(self.tools),
            "learned_bits": self.learned_bits,
            "circuits": {name: circuit_to_json(c) for name, c in parts.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LaneProgram:
        """Inverse of `to_json`.

        Raises:
            BBError: the data is not that of a lane program.
        """
        try:
            circuits = {k: circuit_from_json(v) for k, v in data["circuits"].items()}
            return cls(tools=tuple(data["tools"]), learned_bits=data["learned_bits"], **circuits)
        except (BBError, KeyError, TypeError, ValueError) as error:
            raise BBError(
                f"not a lane program ({error})", where="lanes.json", fix="train the rail again"
            ) from error

    def text(self) -> str:
        """The program as canonical text, for fingerprints."""
        return json.dumps(self.to_json(), sort_keys=True)


def _tabulate(
    circuit: Circuit, inputs: NDArray[np.int64], order: Sequence[int]
) -> NDArray[np.bool_]:
    """(inputs,) the first output for each input; bit `order[k]` of an input is input k."""
    bits = (inputs[:, None] >> np.array(order)) & 1
    return unpack_bits(evaluate(circuit, pack_bits(bits.astype(bool))), len(inputs))[:, 0]


def circuit_to_json(circuit: Circuit) -> dict[str, Any]:
    """A circuit as plain data."""
    gates = [[int(g.op), g.a, g.b] for g in circuit.gates]
    return {"n_inputs": circuit.n_inputs, "gates": gates, "outputs": list(circuit.outputs)}


def circuit_from_json(data: Mapping[str, Any]) -> Circuit:
    """Inverse of `circuit_to_json`; raises what `Circuit` raises on bad data."""
    gates = tuple(Gate(Op(op), a, b) for op, a, b in data["gates"])
    return Circuit(data["n_inputs"], gates, tuple(data["outputs"]))
