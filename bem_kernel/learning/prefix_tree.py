"""Examples as a tree of prefixes, the start of state merging and of exact identification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet
from bem_kernel.learning.examples import Example


@dataclass
class PrefixTree:
    """One node per prefix; node 0 is the empty word, parents come before children.

    Attributes:
        alphabet: symbols without addresses.
        children: for each node, the child by symbol.
        verdicts: what is known of each node.
        parents: for each node, its parent and the symbol that leads to it; (0, -1) for the root.
    """

    alphabet: Alphabet
    children: list[dict[int, int]] = field(default_factory=lambda: [{}])
    verdicts: list[bool | None] = field(default_factory=lambda: [None])
    parents: list[tuple[int, int]] = field(default_factory=lambda: [(0, -1)])

    def __len__(self) -> int:
        return len(self.children)


def prefix_tree(alphabet: Alphabet, examples: Iterable[Example]) -> PrefixTree:
    """The tree of some examples.

    Raises:
        LearningError: two examples contradict each other, or the alphabet has addresses.
    """
    if alphabet.keyed:
        raise LearningError(
            "the alphabet has addresses", where="prefix tree", fix="learn with the template"
        )
    tree = PrefixTree(alphabet)
    for example in examples:
        node = 0
        for token in example.word:
            if token not in tree.children[node]:
                tree.children[node][token] = len(tree)
                tree.children.append({})
                tree.verdicts.append(None)
                tree.parents.append((node, token))
            node = tree.children[node][token]
        if tree.verdicts[node] not in (None, example.verdict):
            raise LearningError(
                f"two verdicts on {alphabet.show(example.word)!r}",
                where="prefix tree",
                fix="give each word one verdict",
            )
        tree.verdicts[node] = example.verdict
    return tree
