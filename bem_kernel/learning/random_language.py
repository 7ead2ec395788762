"""Languages drawn at random, so that what learns them cannot have been made for them."""

from __future__ import annotations

from random import Random

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton, minimal
from bem_kernel.learning.product import compare
from bem_kernel.learning.reference import CounterAutomaton, counter_automaton

_SYMBOLS = "abcd"
_WORDS, _LONGEST = 200, 15
_DRAWS = 10_000


def random_language(seed: int, n_states: int = 2, n_symbols: int = 3) -> CounterAutomaton:
    """A counter automaton with random moves and verdicts.

    Automata are drawn until the reachable counts have no bound, and at least a fifth of random
    words has each verdict.

    Args:
        seed: of the draw.
        n_states: 1 up.
        n_symbols: 1 to 4.

    Raises:
        LearningError: a number is out of range.
    """
    if n_states < 1 or not 1 <= n_symbols <= len(_SYMBOLS):
        raise LearningError(
            f"{n_states} states, {n_symbols} symbols",
            where="random_language",
            fix=f"use 1 state or more, 1 to {len(_SYMBOLS)} symbols",
        )
    random = Random(seed)
    for _ in range(_DRAWS):
        language = _draw(random, f"random-{seed}", (n_states, n_symbols))
        if _counts_without_bound(language) and _is_balanced(language, random):
            return language
    raise LearningError("no language found", where="random_language", fix="use more states")


def random_automaton(seed: int, n_states: int = 4, n_symbols: int = 2) -> Automaton:
    """A finite automaton with random moves and verdicts that needs all of its states.

    Raises:
        LearningError: a number is out of range, or no such automaton was found.
    """
    if n_states < 1 or not 1 <= n_symbols <= len(_SYMBOLS):
        raise LearningError(
            f"{n_states} states, {n_symbols} symbols",
            where="random_automaton",
            fix=f"use 1 state or more, 1 to {len(_SYMBOLS)} symbols",
        )
    random, alphabet = Random(seed), Alphabet(tuple(_SYMBOLS[:n_symbols]))
    for _ in range(_DRAWS):
        moves = [tuple(random.choices(range(n_states), k=n_symbols)) for _ in range(n_states)]
        accept = tuple(bool(random.getrandbits(1)) for _ in range(n_states))
        drawn = minimal(Automaton(alphabet, tuple(moves), accept, f"automaton-{seed}"))
        if len(drawn) == n_states:
            return drawn
    raise LearningError("none found", where="random_automaton", fix="use fewer states")


def _draw(random: Random, name: str, size: tuple[int, int]) -> CounterAutomaton:
    n_states, n_symbols = size
    symbols = _SYMBOLS[:n_symbols]
    moves = {
        (state, symbol): (
            (random.randrange(n_states), random.choice((0, 1))),
            (random.randrange(n_states), random.choice((-1, 0, 1))),
        )
        for state in range(n_states)
        for symbol in symbols
    }
    accept = [(bool(random.getrandbits(1)), bool(random.getrandbits(1))) for _ in range(n_states)]
    return counter_automaton(name, symbols, moves, accept)


def _counts_without_bound(language: CounterAutomaton) -> bool:
    narrow, wide = (len(compare(language, language, width).pairs) for width in (3, 5))
    return wide > 2 * narrow


def _is_balanced(language: CounterAutomaton, random: Random) -> bool:
    accepted = 0
    for _ in range(_WORDS):
        length = random.randint(1, _LONGEST)
        word = [random.randrange(len(language.alphabet)) for _ in range(length)]
        accepted += list(language.verdicts(word))[-1]
    return _WORDS <= 5 * accepted <= 4 * _WORDS
