"""Examples as a tree of prefixes, the start of state merging and of exact identification.

Its labels are the verdicts of labelled words, or the answers of observations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.examples import Example
from bem_kernel.learning.mealy import Observation


@dataclass
class PrefixTree:
    """One node per prefix; node 0 is the empty word, parents come before children.

    Attributes:
        alphabet: symbols without addresses.
        children: for each node, the child by symbol.
        labels: what is known of each node: the verdict on it, or the answer to its last token.
        parents: for each node, its parent and the symbol that leads to it; (0, -1) for the root.
    """

    alphabet: Alphabet
    children: list[dict[int, int]] = field(default_factory=lambda: [{}])
    labels: list[int | None] = field(default_factory=lambda: [None])
    parents: list[tuple[int, int]] = field(default_factory=lambda: [(0, -1)])

    def __len__(self) -> int:
        return len(self.children)

    def child(self, node: int, token: int) -> int:
        """The child, made if there is none yet."""
        if token not in self.children[node]:
            self.children[node][token] = len(self)
            self.children.append({})
            self.labels.append(None)
            self.parents.append((node, token))
        return self.children[node][token]


def prefix_tree(alphabet: Alphabet, examples: Iterable[Example]) -> PrefixTree:
    """The tree of some labelled words.

    Raises:
        LearningError: two examples contradict each other, or the alphabet has addresses.
    """
    tree = _empty_tree(alphabet)
    for example in examples:
        node = 0
        for token in example.word:
            node = tree.child(node, token)
        if tree.labels[node] not in (None, example.verdict):
            raise LearningError(
                f"two verdicts on {alphabet.show(example.word)!r}",
                where="prefix tree",
                fix="give each word one verdict",
            )
        tree.labels[node] = example.verdict
    return tree


def observation_tree(alphabet: Alphabet, observations: Iterable[Observation]) -> PrefixTree:
    """The tree of some observations.

    Raises:
        LearningError: two observations contradict each other, or the alphabet has addresses.
    """
    tree = _empty_tree(alphabet)
    for observation in observations:
        node = 0
        for length, (token, answer) in enumerate(
            zip(observation.word, observation.answers, strict=True), 1
        ):
            node = tree.child(node, token)
            if answer is not None and tree.labels[node] not in (None, answer):
                raise LearningError(
                    f"two answers after {alphabet.show(observation.word[:length])!r}",
                    where="prefix tree",
                    fix="give each prefix one answer",
                )
            tree.labels[node] = tree.labels[node] if answer is None else answer
    return tree


def _empty_tree(alphabet: Alphabet) -> PrefixTree:
    if alphabet.keyed:
        raise LearningError(
            "the alphabet has addresses", where="prefix tree", fix="learn with the template"
        )
    return PrefixTree(alphabet)
