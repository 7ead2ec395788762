"""A machine of small width as a finite automaton, and any machine as an expert."""

from __future__ import annotations

import numpy as np

from bem_kernel.engines.engine import evaluate
from bem_kernel.errors import LearningError
from bem_kernel.experts.expert import Expert
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton, minimal
from bem_kernel.learning.sequential import Family, Sequential

MAX_STATES = 1024


def unfold(family: Family, width: int) -> tuple[Automaton, int | None]:
    """The smallest automaton that gives the machine's verdicts at one width.

    Args:
        family: the machine.
        width: small, since its states are listed.

    Returns:
        The automaton, whose symbols are the tokens of that width, and the state that stands for a
        trap, None if nothing traps.

    Raises:
        LearningError: there are too many states.
    """
    machine, alphabet = family.at(width), family.alphabet
    tokens = alphabet.tokens(width)
    rows = [alphabet.input_bits(token, width) for token in tokens]
    number: dict[tuple[bool, ...], int] = {machine.initial: 0}
    accept: list[bool] = [machine.empty]
    moves: list[list[int]] = []
    states = [machine.initial]
    trap = -1
    for state in states:
        lanes = np.array([[*state, *row] for row in rows], dtype=np.bool_)
        results = unpack_bits(evaluate(machine.circuit, pack_bits(lanes)), len(rows)).tolist()
        ends = []
        for result in results:
            after = tuple(result[: machine.n_state])
            if not result[-1] and after not in number:
                number[after] = len(states)
                states.append(after)
                accept.append(result[-2])
            ends.append(trap if result[-1] else number[after])
        moves.append(ends)
        if len(states) > MAX_STATES:
            raise LearningError(
                f"more than {MAX_STATES} states", where="unfold", fix="use a smaller width"
            )
    return _small(_named(alphabet, tokens), moves, accept)


def _named(alphabet: Alphabet, tokens: list[int]) -> Alphabet:
    return Alphabet(tuple(alphabet.show([token]).replace("@", "·") for token in tokens))


def _small(
    alphabet: Alphabet, moves: list[list[int]], accept: list[bool]
) -> tuple[Automaton, int | None]:
    """Without states that do the same; the trap (-1) is told apart by a symbol of its own."""
    end = len(moves)
    traps = any(target < 0 for row in moves for target in row)
    marked = Alphabet((*alphabet.symbols, "\N{WARNING SIGN}"))
    # Reading the mark leads to a state that accepts from the trap, and from nowhere else.
    yes, no = end + 1, end + 2
    rows = [(*(end if t < 0 else t for t in row), no) for row in moves]
    rows += [(*([end] * len(alphabet)), yes)]
    rows += [(yes,) * len(marked), (no,) * len(marked)]
    small = minimal(Automaton(marked, tuple(rows), (*accept, False, True, False)))
    keep = [0]
    for state in keep:
        keep += [t for t in dict.fromkeys(small.moves[state][:-1]) if t not in keep]
    new = {state: i for i, state in enumerate(keep)}
    after = tuple(tuple(new[t] for t in small.moves[state][:-1]) for state in keep)
    found = Automaton(alphabet, after, tuple(small.accept[state] for state in keep))
    trapped = [new[s] for s in keep if small.accept[small.moves[s][-1]]] if traps else []
    return found, trapped[0] if trapped else None


def expert_of(machine: Sequential, name: str) -> Expert:
    """An expert that reads one token.

    State bits of the expert: the machine's state, then the token, then the verdict and the trap.
    """
    n_state, n_inputs = machine.n_state, machine.circuit.n_inputs
    writes = (*range(n_state), n_inputs, n_inputs + 1)
    return Expert(name, tuple(range(n_inputs)), machine.circuit, writes)
