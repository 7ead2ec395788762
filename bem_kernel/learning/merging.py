"""State merging: an automaton from many examples, quickly, without a promise that it is smallest.

The tree of prefixes is folded from the root. A red state is final; a blue one is a red state's
child. The pair of red and blue whose merge unites the most equal verdicts is merged; a blue state
that fits no red one turns red. Of a Mealy machine, answers to symbols take the place of verdicts.

Source: Lang, Pearlmutter and Price 1998 (evidence-driven merging in the blue fringe).
"""

from __future__ import annotations

from collections.abc import Sequence

from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton, minimal
from bem_kernel.learning.examples import Example
from bem_kernel.learning.mealy import Mealy, Observation, minimal_mealy
from bem_kernel.learning.prefix_tree import PrefixTree, observation_tree, prefix_tree

_VERDICT = -1  # what is known of a node itself, beside the answers to its symbols


class _Merging:
    """A tree whose nodes are being united; every change can be taken back.

    Args:
        tree: of prefixes.
        known: for each node, what is known of it: its verdict, or the answers to its symbols.
    """

    def __init__(self, tree: PrefixTree, known: list[dict[int, int]]) -> None:
        self.into = list(range(len(tree)))
        self.children = [dict(children) for children in tree.children]
        self.known = known
        self._undo: list[tuple[dict[int, int] | None, int]] = []

    def find(self, node: int) -> int:
        while self.into[node] != node:
            node = self.into[node]
        return node

    def merge(self, red: int, blue: int) -> int:
        """Unite two nodes and all that follows; how much of it agreed, -1 if some did not."""
        score, waiting = 0, [(red, blue)]
        while waiting:
            one, other = (self.find(node) for node in waiting.pop())
            if one == other:
                continue
            for key, value in self.known[other].items():
                if key not in self.known[one]:
                    self._set(self.known[one], key, value)
                elif self.known[one][key] != value:
                    return -1
                else:
                    score += 1
            self._undo.append((None, other))
            self.into[other] = one
            for symbol, child in self.children[other].items():
                if symbol in self.children[one]:
                    waiting.append((self.children[one][symbol], child))
                else:
                    self._set(self.children[one], symbol, child)
        return score

    def _set(self, table: dict[int, int], key: int, value: int) -> None:
        self._undo.append((table, key))
        table[key] = value

    def take_back(self) -> None:
        """Undo everything since the last `keep`."""
        for table, key in reversed(self._undo):
            if table is None:
                self.into[key] = key
            else:
                del table[key]
        self._undo.clear()

    def keep(self) -> None:
        """Let the changes stand."""
        self._undo.clear()


def merge_states(alphabet: Alphabet, examples: Sequence[Example]) -> Automaton:
    """An automaton that explains all examples.

    Raises:
        LearningError: the examples contradict each other.
    """
    tree = prefix_tree(alphabet, examples)
    merging = _Merging(tree, [{} if x is None else {_VERDICT: x} for x in tree.labels])
    red = _fold(merging)
    accept = tuple(bool(merging.known[state].get(_VERDICT)) for state in red)
    return minimal(Automaton(alphabet, _moves(alphabet, merging, red), accept))


def merge_mealy(
    alphabet: Alphabet, answers: Alphabet, observations: Sequence[Observation]
) -> Mealy:
    """A Mealy machine that explains all observations.

    Raises:
        LearningError: the observations contradict each other.
    """
    tree = observation_tree(alphabet, observations)
    known: list[dict[int, int]] = [{} for _ in tree.labels]
    for (parent, symbol), answer in zip(tree.parents, tree.labels, strict=True):
        if answer is not None:
            known[parent][symbol] = answer
    merging = _Merging(tree, known)
    red = _fold(merging)
    symbols = range(len(alphabet))
    says = tuple(tuple(merging.known[state].get(a, 0) for a in symbols) for state in red)
    return minimal_mealy(Mealy(alphabet, answers, _moves(alphabet, merging, red), says))


def _fold(merging: _Merging) -> list[int]:
    """Merge until all states are red, and return these."""
    red = [0]
    while fringe := _fringe(merging, red):
        best, alone = (-1, 0, 0), None
        for blue in fringe:
            scores = []
            for state in red:
                scores.append((merging.merge(state, blue), -state, -blue))
                merging.take_back()
            top = max(scores)
            if top[0] < 0:
                alone = blue
                break
            best = max(best, top)
        if alone is not None:
            red.append(alone)
        else:
            merging.merge(-best[1], -best[2])
            merging.keep()
    return red


def _fringe(merging: _Merging, red: Sequence[int]) -> list[int]:
    """Children of red states that are not red, in order."""
    known, fringe = set(red), list[int]()
    for state in red:
        for symbol in sorted(merging.children[state]):
            child = merging.find(merging.children[state][symbol])
            if child not in known:
                known.add(child)
                fringe.append(child)
    return fringe


def _moves(
    alphabet: Alphabet, merging: _Merging, red: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The moves between red states; one that nobody has seen stays where it is."""
    number = {state: i for i, state in enumerate(red)}
    return tuple(
        tuple(
            number[merging.find(merging.children[state][a])] if a in merging.children[state] else i
            for a in range(len(alphabet))
        )
        for i, state in enumerate(red)
    )
