"""Labelled words: from texts, and at random.

A text has one example a line: the verdict, `1` or `0`, then a space and the word (see
`Alphabet.read`); nothing after the verdict is the empty word. Blank lines and lines that start with
`;` are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from bem_kernel.errors import LearningError
from bem_kernel.learning.alphabet import Alphabet, Word
from bem_kernel.learning.reference import Reference

MAX_LINES = 1_000_000


@dataclass(frozen=True)
class Example:
    """A word and the verdict on it."""

    word: Word
    verdict: bool


def read_examples(
    text: str, where: str, alphabet: Alphabet | None = None
) -> tuple[Alphabet, list[Example]]:
    """Examples from a text, and the alphabet they are over.

    Args:
        text: see above.
        where: its name, for messages.
        alphabet: of the words; None: the characters, or the words between spaces, that occur, in
            order; those with `@` carry addresses.

    Raises:
        LearningError: a line is malformed, two lines contradict each other, or there is none; the
            message names the line.
    """
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith(";")
    ]
    if not 0 < len(lines) <= MAX_LINES:
        raise LearningError(
            f"{len(lines)} examples", where=where, fix=f"give 1 to {MAX_LINES} lines"
        )
    pairs = []
    for number, line in lines:
        verdict, _, text_word = line.partition(" ")
        if verdict not in ("0", "1"):
            raise LearningError(
                f"verdict {verdict[:20]!r}", where=f"{where}:{number}", fix="start with 0 or 1"
            )
        pairs.append((number, verdict == "1", text_word.strip()))
    known = _alphabet_of([word for _, _, word in pairs], where) if alphabet is None else alphabet
    found: dict[Word, tuple[int, bool]] = {}
    for number, label, letters in pairs:
        word = known.read(letters, f"{where}:{number}")
        earlier, other = found.setdefault(word, (number, label))
        if other != label:
            raise LearningError(
                f"contradicts line {earlier}",
                where=f"{where}:{number}",
                fix="give each word one verdict",
            )
    return known, [Example(word, label) for word, (_, label) in found.items()]


def _alphabet_of(words: Iterable[str], where: str) -> Alphabet:
    texts = list(words)
    spaced = any(" " in word or "@" in word for word in texts)
    pieces = [piece for word in texts for piece in (word.split() if spaced else word)]
    if not pieces:
        raise LearningError("no word has a symbol", where=where, fix="give longer words")
    names = sorted({piece.partition("@")[0] for piece in pieces})
    keyed = frozenset(piece.partition("@")[0] for piece in pieces if "@" in piece)
    return Alphabet(tuple(names), keyed)


def show_examples(alphabet: Alphabet, examples: Iterable[Example]) -> str:
    """Inverse of `read_examples`."""
    lines = (f"{int(e.verdict)} {alphabet.show(e.word)}".rstrip() for e in examples)
    return "".join(f"{line}\n" for line in lines)


def label(reference: Reference, word: Sequence[int]) -> Example:
    """The word with the reference's verdict."""
    verdict = False
    for verdict in reference.verdicts(word):  # noqa: B007 - the last one counts
        pass
    return Example(tuple(word), verdict)


def draw_examples(
    reference: Reference, count: int, max_length: int, seed: int, n_addresses: int = 2
) -> list[Example]:
    """Different words of random length and random symbols, labelled: passive data.

    As far as words of both verdicts are found, half are of each, as in a data set made with care.

    Args:
        reference: knows the verdicts.
        count: how many; fewer if there are not so many words.
        max_length: of a word.
        seed: of the draw.
        n_addresses: addresses run from 0 up to this.
    """
    random = Random(seed)
    tokens = reference.alphabet.tokens(n_addresses)
    sides: dict[bool, dict[Word, Example]] = {False: {}, True: {}}
    for _ in range(200 * count):
        word = tuple(random.choice(tokens) for _ in range(random.randint(0, max_length)))
        example = label(reference, word)
        side = sides[example.verdict]
        if len(side) < count - count // 2:
            side[word] = example
        if sum(map(len, sides.values())) >= count:
            break
    mixed = [*sides[False].values(), *sides[True].values()][:count]
    random.shuffle(mixed)
    return mixed
