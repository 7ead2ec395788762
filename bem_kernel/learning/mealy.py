"""Mealy machines: an answer for every token, by the state and the token.

Source: Mealy 1955.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import LearningError
from bem_kernel.experts.expert import Expert
from bem_kernel.learning.alphabet import Alphabet, Token, Word
from bem_kernel.learning.automaton import told_apart
from bem_kernel.learning.partial_table import Row, explain
from bem_kernel.learning.sequential import build_table

Answer = int

_EXACT_ROWS, _EXACT_GATES = 16, 7  # beyond these the smallest circuit takes long to find


@dataclass(frozen=True)
class Mealy:
    """A deterministic transducer; state 0 is the first.

    Attributes:
        alphabet: what it reads, without addresses.
        answers: what it says, without addresses.
        moves: the next state, for each state and symbol.
        says: the number of the answer, for each state and symbol.

    Raises:
        LearningError: there is no state, or a move or an answer is missing or is none.
    """

    alphabet: Alphabet
    answers: Alphabet
    moves: tuple[tuple[int, ...], ...]
    says: tuple[tuple[Answer, ...], ...]

    def __post_init__(self) -> None:
        whole = len(self.moves) == len(self.says) > 0
        for rows, most in ((self.moves, len(self.moves)), (self.says, len(self.answers))):
            for row in rows:
                whole &= len(row) == len(self.alphabet) and all(0 <= x < most for x in row)
        if not whole or self.alphabet.keyed or self.answers.keyed:
            raise LearningError(
                f"{len(self.moves)} rows of moves and {len(self.says)} of answers",
                where="mealy",
                fix="give a state and an answer for each state and symbol",
            )

    def __len__(self) -> int:
        return len(self.moves)

    def run(self, word: Sequence[Token]) -> tuple[Answer, ...]:
        """The answer to each token."""
        state, said = 0, []
        for token in word:
            said.append(self.says[state][token])
            state = self.moves[state][token]
        return tuple(said)


@dataclass(frozen=True)
class Observation:
    """A word and what was said to its tokens; None where that is not known.

    Raises:
        LearningError: there are more answers than tokens, or fewer.
    """

    word: Word
    answers: tuple[Answer | None, ...]

    def __post_init__(self) -> None:
        if len(self.word) != len(self.answers):
            raise LearningError(
                f"{len(self.word)} tokens and {len(self.answers)} answers",
                where="observation",
                fix="give an answer, or None, for each token",
            )


def minimal_mealy(machine: Mealy) -> Mealy:
    """The smallest machine that says the same, its states numbered as they are first reached."""
    states, moves = told_apart(machine.moves, machine.says)
    says = tuple(machine.says[state] for state in states)
    return Mealy(machine.alphabet, machine.answers, moves, says)


def mealy_difference(one: Mealy, other: Mealy) -> Word | None:
    """A shortest word to whose last token two machines say different things; exact.

    Raises:
        LearningError: the alphabets differ.
    """
    if (one.alphabet, one.answers) != (other.alphabet, other.answers):
        raise LearningError("the alphabets differ", where="mealy", fix="compare over the same ones")
    seen: dict[tuple[int, int], Word] = {(0, 0): ()}
    waiting = deque(seen)
    while waiting:
        s, t = pair = waiting.popleft()
        for token in range(len(one.alphabet)):
            word = (*seen[pair], token)
            if one.says[s][token] != other.says[t][token]:
                return word
            following = one.moves[s][token], other.moves[t][token]
            if following not in seen:
                seen[following] = word
                waiting.append(following)
    return None


def mealy_circuit(machine: Mealy) -> Circuit:
    """(state, token) to (next state, answer), all in binary, lowest bits first.

    Numbers that stand for no state or symbol are free. The circuit of a machine of up to sixteen
    states and symbols, multiplied, has the fewest gates there are (see `partial_table`).
    """
    n_state = (len(machine) - 1).bit_length()
    n_token, n_answer = machine.alphabet.code_bits, machine.answers.code_bits
    rows = []
    for state, (ends, says) in enumerate(zip(machine.moves, machine.says, strict=True)):
        for token, (end, said) in enumerate(zip(ends, says, strict=True)):
            inputs = _bits(state, n_state) + _bits(token, n_token)
            rows.append(Row(inputs, _bits(end, n_state) + _bits(said, n_answer)))
    if len(rows) <= _EXACT_ROWS:
        try:
            return explain(rows, _EXACT_GATES).circuit
        except LearningError:  # more gates than are worth the wait
            pass
    return _circuit_of_tables(rows)


def _circuit_of_tables(rows: list[Row]) -> Circuit:
    """A circuit of multiplexers; inputs that are in no row count as the last row's."""
    known = {row.inputs: row.outputs for row in rows}
    builder = CircuitBuilder(len(rows[0].inputs))
    inputs = list(range(builder.n_inputs))
    full = [known.get(_bits(r, len(inputs)), rows[-1].outputs) for r in range(1 << len(inputs))]
    tables = [[bool(outputs[j]) for outputs in full] for j in range(len(rows[0].outputs))]
    return builder.build([build_table(builder, table, inputs) for table in tables])


def _bits(number: int, width: int) -> tuple[bool, ...]:
    return tuple(bool(number >> i & 1) for i in range(width))


def expert_of_mealy(machine: Mealy, name: str) -> Expert:
    """An expert that reads one token.

    State bits of the expert: the machine's state, then the token, then the answer.
    """
    circuit = mealy_circuit(machine)
    n_state = (len(machine) - 1).bit_length()
    answers = range(circuit.n_inputs, circuit.n_inputs + machine.answers.code_bits)
    return Expert(name, tuple(range(circuit.n_inputs)), circuit, (*range(n_state), *answers))
