"""The lanes of the builder rail: Boolean programs that step along a sequence of tokens.

A lane belongs to one sequence. It reads the text as bytes, so that it works with any tokenizer,
and keeps a few state bits that a Boolean circuit steps from token to token:

- in the request it counts the sentences that carry a goal,
- in the plan it counts the goals whose steps are complete,
- it knows which tool is being called and whether all goals are done.

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
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.errors import BBError
from bem_kernel.builder import CircuitBuilder
from bem_kernel.circuit import Circuit, Gate, Op
from bem_kernel.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.scan import scan

COUNTER_BITS = 4
PLAN_MARKER = b"### Plan\n"
_EVENTS = 4  # sentence end, goal mark, plan begins, goal complete
_STATE = 2 + 2 * COUNTER_BITS  # in plan, armed, count, total


def clock_circuit() -> Circuit:
    """The sequential machine of a lane: (state, events) to (next state, done).

    Inputs: in_plan, armed, count[4], total[4], then the events sentence end, goal mark, plan
    begins, goal complete. Outputs: the next state in the same order, then the same bits again and
    `done`. A sentence counts when it carries a mark and ends, or when the plan begins after it.
    """
    b = CircuitBuilder(_STATE + _EVENTS)
    in_plan, armed = 0, 1
    count, total = list(range(2, 6)), list(range(6, 10))
    end, mark, begins, complete = range(10, 14)
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
    differ = b.const(False)
    for left, right in zip(next_count, next_total, strict=True):
        differ = b.or_(differ, b.xor(left, right))
    done = b.and_(next_plan, b.not_(differ))
    state = [next_plan, next_armed, *next_count, *next_total]
    return b.build([*state, *state, done])


@dataclass(frozen=True)
class Cursor:
    """Where a lane stands in its text, between two tokens.

    Attributes:
        tail: last bytes of the request read, to find the plan's marker.
        previous: the last byte, 0 at the start.
        depth: nesting of braces in the plan.
        quoted: inside a string of the plan.
        escaped: after a backslash in a string.
        string: bytes of the string being read or read last.
        naming: the next string is a tool's name.
        tool: number of the tool being called or called last, 0 for none.
        state: state bits of the clock, bit k is state bit k.
    """

    tail: bytes = b""
    previous: int = 0
    depth: int = 0
    quoted: bool = False
    escaped: bool = False
    string: bytes = b""
    naming: bool = False
    tool: int = 0
    state: int = 0

    @property
    def in_plan(self) -> bool:
        """Whether the plan has begun."""
        return bool(self.state & 1)


@dataclass(frozen=True)
class LaneRun:
    """What the lanes put out for a batch of token sequences.

    Attributes:
        features: (batch, time, n_features) bool, the bits that the rail embeds.
        counts: (batch, time) int64, the goal each position belongs to.
        cursors: for each row the cursor after each token.
    """

    features: NDArray[np.bool_]
    counts: NDArray[np.int64]
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
    def _numbers(self) -> dict[bytes, int]:
        return {name.encode(): i + 1 for i, name in enumerate(self.tools)}

    @cached_property
    def _completing(self) -> NDArray[np.bool_]:
        """(tools + 1,) whether each tool completes a goal, one lane a tool."""
        numbers = np.arange(len(self.tools) + 1)
        bits = (numbers[:, None] >> np.arange(self.tool_bits)) & 1
        out = evaluate(self.completes, pack_bits(bits.astype(bool)))
        return unpack_bits(out, len(numbers))[:, 0]

    @cached_property
    def _ending(self) -> NDArray[np.bool_]:
        """(256, 256) whether a byte pair (previous, this) ends a sentence, one lane a pair."""
        pairs = np.arange(65536)
        bits = (pairs[:, None] >> np.array([*range(8, 16), *range(8)])) & 1
        out = evaluate(self.sentence_end, pack_bits(bits.astype(bool)))
        return unpack_bits(out, 65536)[:, 0].reshape(256, 256)

    @cached_property
    def _marking(self) -> NDArray[np.bool_]:
        bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
        return unpack_bits(evaluate(self.goal_mark, pack_bits(bits.astype(bool))), 256)[:, 0]

    def run(
        self, tokens: Sequence[Sequence[bytes]], cursors: Sequence[Cursor] | None = None
    ) -> LaneRun:
        """Step every lane over its tokens.

        Args:
            tokens: for each row the bytes of its tokens, rows of equal length; b"" (padding, a
                special token) leaves the lane as it is.
            cursors: where each row stands; the start of a text if None.

        Returns:
            The bits after each token.
        """
        rows = len(tokens)
        now = list(cursors) if cursors is not None else [Cursor()] * rows
        length = len(tokens[0]) if rows else 0
        events = np.zeros((length, rows, _EVENTS), bool)
        tools = np.zeros((length, rows, 2), np.int64)
        history: list[list[Cursor]] = []
        for row, (pieces, cursor) in enumerate(zip(tokens, now, strict=True)):
            history.append(self._read(pieces, cursor, events[:, row], tools[:, row]))
        outputs = self._step(events, now)
        return self._collect(outputs, tools, history)

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
        self, outputs: NDArray[np.bool_], tools: NDArray[np.int64], history: list[list[Cursor]]
    ) -> LaneRun:
        weights = 1 << np.arange(_STATE)
        states = outputs[:, :, :_STATE] @ weights
        counts = outputs[:, :, 2 : 2 + COUNTER_BITS] @ (1 << np.arange(COUNTER_BITS))
        numbers = (tools[:, :, :1] >> np.arange(self.tool_bits)) & 1
        flags = [outputs[:, :, :1], tools[:, :, 1:], outputs[:, :, -1:], numbers]
        features = np.concatenate([f.astype(bool) for f in flags], axis=2)
        cursors = [
            [replace(c, state=int(states[t, row])) for t, c in enumerate(line)]
            for row, line in enumerate(history)
        ]
        return LaneRun(features.transpose(1, 0, 2), counts.T.astype(np.int64), cursors)

    def _read(
        self,
        pieces: Sequence[bytes],
        cursor: Cursor,
        events: NDArray[np.bool_],
        tools: NDArray[np.int64],
    ) -> list[Cursor]:
        """Find the events of one row; fills `events` (time, 4) and `tools` (time, 2)."""
        reader = _Reader(self, cursor)
        line = []
        for t, piece in enumerate(pieces):
            if piece:
                events[t] = reader.feed(piece)
            tools[t] = reader.tool, reader.depth > 1
            line.append(reader.cursor())
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


class _Reader:
    """Reads the bytes of one row. Mutable and private: a `Cursor` while it moves."""

    def __init__(self, program: LaneProgram, cursor: Cursor) -> None:
        self._numbers = program._numbers
        self._ending, self._marking = program._ending, program._marking
        self._completing = program._completing
        self.in_plan = cursor.in_plan
        self.tail, self.previous, self.depth = cursor.tail, cursor.previous, cursor.depth
        self.quoted, self.escaped, self.naming = cursor.quoted, cursor.escaped, cursor.naming
        self.string, self.tool = cursor.string, cursor.tool

    def cursor(self) -> Cursor:
        return Cursor(
            self.tail, self.previous, self.depth, self.quoted, self.escaped, self.string,
            self.naming, self.tool,
        )  # fmt: skip

    def feed(self, piece: bytes) -> tuple[bool, bool, bool, bool]:
        """Events within the bytes of one token, each at most once."""
        end = mark = begins = complete = False
        for byte in piece:
            if self.in_plan:
                complete |= self._plan_byte(byte)
                continue
            end |= bool(self._ending[self.previous, byte])
            mark |= bool(self._marking[byte])
            self.previous = byte
            self.tail = (self.tail + bytes([byte]))[-len(PLAN_MARKER) :]
            if self.tail == PLAN_MARKER:
                begins, self.in_plan, self.tail = True, True, b""
        return end, mark, begins, complete

    def _plan_byte(self, byte: int) -> bool:
        """Follow the plan's JSON by one byte; whether it completes a goal."""
        if self.quoted:
            if self.escaped:
                self.escaped = False
            elif byte == 0x5C:
                self.escaped = True
            elif byte == 0x22:
                self._end_string()
                return False
            self.string += bytes([byte])
            return False
        if byte == 0x22:
            self.quoted, self.string = True, b""
        elif byte == 0x7B:
            self.depth += 1
        elif byte == 0x7D:
            self.depth -= 1
            if self.depth == 1 and self._completing[self.tool]:
                self.tool = 0
                return True
        return False

    def _end_string(self) -> None:
        self.quoted = False
        if self.naming and self.depth == 2:
            self.tool = self._numbers.get(self.string, 0)
        self.naming = self.depth == 2 and self.string == b"tool"


def circuit_to_json(circuit: Circuit) -> dict[str, Any]:
    """A circuit as plain data."""
    gates = [[int(g.op), g.a, g.b] for g in circuit.gates]
    return {"n_inputs": circuit.n_inputs, "gates": gates, "outputs": list(circuit.outputs)}


def circuit_from_json(data: Mapping[str, Any]) -> Circuit:
    """Inverse of `circuit_to_json`; raises what `Circuit` raises on bad data."""
    gates = tuple(Gate(Op(op), a, b) for op, a, b in data["gates"])
    return Circuit(data["n_inputs"], gates, tuple(data["outputs"]))


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes each token id stands for; b"" for special tokens.

    Works for byte-level vocabularies (GPT-2's alphabet) and for SentencePiece-like ones.

    Args:
        tokenizer: a Hugging Face tokenizer.

    Returns:
        One entry for each id below `len(tokenizer)`.
    """
    special = set(tokenizer.all_special_ids)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    alphabet = _byte_alphabet()
    known = [n for i, n in enumerate(names) if i not in special and n]
    byte_level = all(ch in alphabet for name in known for ch in name)
    table = []
    for index, name in enumerate(names):
        if index in special or not name:
            table.append(b"")
        elif byte_level:
            table.append(bytes(alphabet[ch] for ch in name))
        elif len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            table.append(bytes([int(name[3:5], 16)]))
        else:
            table.append(name.replace("\u2581", " ").encode())
    return table


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level tokenizers write for each byte, inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    rest = (b for b in range(256) if b not in printable)
    table.update({chr(256 + i): b for i, b in enumerate(rest)})
    return table
