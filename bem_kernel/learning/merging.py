"""State merging: an automaton from many examples, quickly, without a promise that it is smallest.

The tree of prefixes is folded from the root. A red state is final; a blue one is a red state's
child. The pair of red and blue whose merge unites the most equal verdicts is merged; a blue state
that fits no red one turns red.

Source: Lang, Pearlmutter and Price 1998 (evidence-driven merging in the blue fringe).
"""

from __future__ import annotations

from collections.abc import Sequence

from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.automaton import Automaton, minimal
from bem_kernel.learning.examples import Example
from bem_kernel.learning.prefix_tree import PrefixTree, prefix_tree


class _Merging:
    """A tree whose nodes are being united; every change can be taken back."""

    def __init__(self, tree: PrefixTree) -> None:
        self.into = list(range(len(tree)))
        self.children = [dict(children) for children in tree.children]
        self.verdicts = list(tree.verdicts)
        self._undo: list[tuple[str, int, int, int | bool | None]] = []

    def find(self, node: int) -> int:
        while self.into[node] != node:
            node = self.into[node]
        return node

    def merge(self, red: int, blue: int) -> int:
        """Unite two nodes and all that follows; how many verdicts agreed, -1 if some did not."""
        score, waiting = 0, [(red, blue)]
        while waiting:
            one, other = (self.find(node) for node in waiting.pop())
            if one == other:
                continue
            verdict, known = self.verdicts[other], self.verdicts[one]
            if verdict is not None:
                if known is None:
                    self._undo.append(("verdict", one, 0, None))
                    self.verdicts[one] = verdict
                elif known != verdict:
                    return -1
                else:
                    score += 1
            self._undo.append(("into", other, 0, other))
            self.into[other] = one
            for symbol, child in self.children[other].items():
                if symbol in self.children[one]:
                    waiting.append((self.children[one][symbol], child))
                else:
                    self._undo.append(("child", one, symbol, None))
                    self.children[one][symbol] = child
        return score

    def take_back(self) -> None:
        """Undo everything since the last `keep`."""
        for kind, node, symbol, old in reversed(self._undo):
            if kind == "verdict":
                self.verdicts[node] = None
            elif kind == "into":
                assert isinstance(old, int)
                self.into[node] = old
            else:
                del self.children[node][symbol]
        self._undo.clear()

    def keep(self) -> None:
        """Let the changes stand."""
        self._undo.clear()


def merge_states(alphabet: Alphabet, examples: Sequence[Example]) -> Automaton:
    """An automaton that explains all examples.

    Raises:
        LearningError: the examples contradict each other.
    """
    merging = _Merging(prefix_tree(alphabet, examples))
    red = [0]
    while True:
        fringe = _fringe(merging, red)
        if not fringe:
            break
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
    return minimal(_folded(alphabet, merging, red))


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


def _folded(alphabet: Alphabet, merging: _Merging, red: Sequence[int]) -> Automaton:
    """The red states; a move nobody has seen stays where it is, an unknown verdict is False."""
    number = {state: i for i, state in enumerate(red)}
    moves = []
    for i, state in enumerate(red):
        children = merging.children[state]
        moves.append(
            tuple(
                number[merging.find(children[a])] if a in children else i
                for a in range(len(alphabet))
            )
        )
    accept = tuple(bool(merging.verdicts[state]) for state in red)
    return Automaton(alphabet, tuple(moves), accept)
