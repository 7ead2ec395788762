"""How many examples, and how long, until a program is learned and proved right?

Rows `proof.learn_<task>_*` learn with a reference to ask: the examples are the words whose verdict
was asked for, and nothing else is known of the language but that exact comparisons at a small width
find the next word. Rows `…_passive` are beside them: random words, nobody asked, the number after
which the smallest program that explains them is proved equal; in `…_passive_exact` it is not of the
template but the smallest automaton. They are shown, not judged.
The two random languages, a counter automaton and a finite one, come from seeds that nothing was
tuned on; `…_random_share` draws many, of up to four states, and counts those with a proof.
Networks beside them: `proof_networks`.
"""

from __future__ import annotations

import time
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from benchmarks.frame import Context, Measured, row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bem_kernel.learning.alphabet import Alphabet
    from bem_kernel.learning.examples import Example
    from bem_kernel.learning.language import LanguageReport
    from bem_kernel.learning.reference import Reference
    from bem_kernel.learning.sequential import Family
    from bem_kernel.learning.template import Learned

TASKS = ("parity", "majority", "dyck-online", "dyck-final", "mod-3", "mod-5", "mod-7", "key-value")
RANDOM = ("random-a", "random-b")
MOST_EXAMPLES, MOST_SECONDS = 64, 30
TOKENS_PER_SECOND = 5e6
Word = tuple[tuple[int, ...], bool]
KEYS = 8  # that the networks are asked about; ours has 64 registers
_UNSEEN = 1_000_000  # random languages of seeds from here on


def language_named(name: str, seed: int) -> Reference:
    """A task, or a language drawn at random."""
    from bem_kernel.learning.random_language import random_automaton, random_language
    from bem_kernel.learning.tasks import task

    if name == "random-a":
        return random_language(_UNSEEN + seed, n_states=2, n_symbols=2 + seed % 2)
    if name == "random-b":
        return random_automaton(_UNSEEN + seed, n_states=3 + seed % 2, n_symbols=2 + seed % 2)
    return task(name)


@cache
def learned(name: str, seed: int) -> tuple[LanguageReport, float]:
    """The report, with the proof demanded, and the seconds it took."""
    from bem_kernel.learning.language import learn_language
    from bem_kernel.learning.search import Effort

    language = language_named(name, seed)
    learn_language(language_named("parity", seed))  # kernels are loaded once a process
    began = time.perf_counter()
    report = learn_language(language, Effort(time_ms=4 * MOST_SECONDS * 1000), seed=seed)
    seconds = time.perf_counter() - began
    if report.proof is None:
        raise AssertionError(f"{name}: no proof after {len(report.examples)} examples")
    assert report.proof.width == 64
    assert name in RANDOM or report.found_by == "template"
    return report, seconds


def template_program(name: str, seed: int) -> Learned:
    """What the template has learned."""
    program = learned(name, seed)[0].template.program
    assert program is not None
    return program


def _declare(name: str) -> None:
    slug = name.replace("-", "_")

    @row(
        f"proof.learn_{slug}_examples",
        peer_name=f"limit of {MOST_EXAMPLES}",
        unit="labelled examples",
        target=1.0,
        better="less",
    )
    def examples(context: Context) -> Measured:
        report, _ = learned(name, context.seed)
        return Measured([len(report.examples)], [MOST_EXAMPLES])

    @row(
        f"proof.learn_{slug}_time",
        peer_name=f"limit of {MOST_SECONDS} s",
        unit="s",
        target=1.0,
        better="less",
    )
    def seconds(context: Context) -> Measured:
        return Measured([learned(name, context.seed)[1]], [MOST_SECONDS])

    @row(
        f"proof.learn_{slug}_passive",
        peer_name=f"{MOST_EXAMPLES}, for orientation",
        unit="labelled examples",
        target=0.0,
        better="less",
    )
    def passive(context: Context) -> Measured:
        return Measured([_passive_count(name, "template", context)], [MOST_EXAMPLES])

    if name == "key-value":
        return

    @row(
        f"proof.learn_{slug}_passive_exact",
        peer_name=f"{MOST_EXAMPLES}, for orientation",
        unit="labelled examples",
        target=0.0,
        better="less",
    )
    def passive_exact(context: Context) -> Measured:
        return Measured([_passive_count(name, "exact", context)], [MOST_EXAMPLES])


def _passive_count(name: str, method: str, context: Context) -> float:
    """Random examples until the program is proved; infinite if the most do not suffice."""
    from bem_kernel.learning.induction import prove_equal
    from bem_kernel.learning.search import learn_passive

    language = language_named(name, context.seed)
    for count in (16, 32, 64, 128, *((256, 512) if context.full else ())):
        data = _passive_data(name, language, count, context.seed)
        if method == "template":
            program: Family | None = learn_passive(language.alphabet, data).program
        else:
            program = _exact(language.alphabet, data)
        if program is not None and prove_equal(program, language) is not None:
            return count
    return float("inf")


def _passive_data(name: str, language: Reference, count: int, seed: int) -> list[Example]:
    """Random words of up to 12 tokens; of brackets, half of them match or nearly do."""
    from bem_kernel.learning.examples import Example, draw_examples

    rng, brackets = Random(seed), name.startswith("dyck")
    drawn = draw_examples(
        language, count // 2 if brackets else count, 12, seed, 4 if language.alphabet.keyed else 1
    )
    data = {example.word: example for example in drawn}
    while brackets and len(data) < count:
        ((word, verdict),) = words_of(name, [rng.randint(1, 12)], rng)
        data[word] = Example(word, verdict)
    return list(data.values())


def _exact(alphabet: Alphabet, data: list[Example]) -> Family | None:
    """The smallest automaton, with a counter if two states do with one."""
    from bem_kernel.errors import LearningError
    from bem_kernel.learning.identify import identify
    from bem_kernel.learning.identify_counter import identify_counter

    try:
        return identify_counter(alphabet, data, max_states=2)
    except LearningError:
        return identify(alphabet, data).automaton


def words_of(name: str, lengths: list[int], rng: Random) -> list[Word]:
    """Random words of given lengths with their verdicts; of brackets half match, or nearly."""
    language = language_named(name, 0)
    found = []
    for length in lengths:
        word = [rng.randrange(2) for _ in range(length)]
        if name == "key-value":
            word = _pairs(length, rng)
        if name.startswith("dyck"):
            word = _brackets(length, rng)
        elif name.startswith("mod") and rng.random() < 0.5:
            word = _divisible(word, int(name.partition("-")[2]), rng)
        found.append((tuple(word), list(language.verdicts(word))[-1]))
    return found


def _brackets(length: int, rng: Random) -> list[int]:
    """All match, or, in half of the words, all but one."""
    word, depth = list[int](), 0
    for left in range(length - length % 2, 0, -1):
        closes = depth > 0 and (depth == left or rng.random() < 0.5)
        depth += -1 if closes else 1
        word.append(int(closes))
    if not word or rng.random() < 0.5:
        word = word or [0]
        word[rng.randrange(len(word))] ^= 1
    return word


def _pairs(length: int, rng: Random) -> list[int]:
    """Keys with values, a key may come again, and a key that was written as the question."""
    pairs = [(rng.randrange(KEYS), rng.randrange(2)) for _ in range(max(1, (length - 1) // 2))]
    asked = rng.choice(pairs)[0]
    # Of the four symbols key, 0, 1, #, key number k is token 4 (k + 1), and a bit is token 1 or 2.
    told = [token for key, bit in pairs for token in (4 * (key + 1), 1 + bit)]
    return [*told, 4 * (asked + 1)]


def _divisible(word: list[int], modulus: int, rng: Random) -> list[int]:
    """With so many ones turned to zeros that their number is divisible."""
    ones = [i for i, bit in enumerate(word) if bit]
    for place in rng.sample(ones, len(ones) % modulus):
        word[place] = 0
    return word


def _walk(rng: np.random.Generator, length: int) -> NDArray[np.int32]:
    """Brackets, the depth of which is a random walk that turns round at the ground."""
    import numpy as np

    depth = np.abs(np.cumsum(rng.choice(np.array([-1, 1]), length)))
    return (np.diff(depth, prepend=0) < 0).astype(np.int32)


def _long_word(name: str, length: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A long word with the verdict on every prefix, by numpy and not by our automata."""
    import numpy as np

    rng = np.random.default_rng(seed)
    if name.startswith("dyck"):
        word = _walk(rng, length)
        word[length - length // 8 :] = rng.integers(0, 2, length // 8)
        depth = np.cumsum(1 - 2 * word.astype(np.int64))
        valid = np.minimum.accumulate(depth) >= 0
        return word, valid if name == "dyck-online" else valid & (depth == 0)
    word = rng.integers(0, 2, length).astype(np.int32)
    ones = np.cumsum(word, dtype=np.int64)
    if name == "parity":
        return word, ones % 2 == 1
    if name == "majority":
        return word, 2 * ones >= np.arange(1, length + 1)
    return word, ones % int(name.partition("-")[2]) == 0


def _registers(length: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    import numpy as np

    from bem_kernel.learning.tasks import task

    language = task("key-value")
    rng = np.random.default_rng(seed)
    tokens = np.array(language.alphabet.tokens(64), dtype=np.int32)
    word = tokens[rng.integers(0, len(tokens), length)]
    verdicts = np.fromiter(language.verdicts(word.tolist()), np.bool_, length + 1)
    return word, verdicts[1:]


def _declare_length(name: str) -> None:
    @row(
        f"proof.learn_{name.replace('-', '_')}_long",
        peer_name="every verdict, 10^6 times the training length (--full; else 10^5)",
        unit="share right",
        target=1.0,
    )
    def measure(context: Context) -> Measured:
        from bem_kernel.learning.run import read

        report, _ = learned(name, context.seed)
        trained = max(len(example.word) for example in report.examples)
        length = trained * (10**6 if context.full else 10**5)
        make = _registers if name == "key-value" else lambda n, s: _long_word(name, n, s)
        word, verdicts = make(length, context.seed)
        reading = read(template_program(name, context.seed), word)
        assert not reading.trapped
        return Measured([float((reading.verdicts == verdicts).mean())], [1.0])


for _name in (*TASKS, *RANDOM):
    _declare(_name)
for _name in TASKS:
    _declare_length(_name)


def _declare_speed(name: str) -> None:
    @row(
        f"proof.learn_{name.replace('-', '_')}_speed",
        peer_name="5 million a second, one thread",
        unit="tokens/s",
        target=1.0,
    )
    def measure(context: Context) -> Measured:
        import numpy as np

        from bem_kernel.learning.run import read

        program = template_program(name, context.seed)
        length = 10**7 if context.full else 10**6
        rng = np.random.default_rng(context.seed)
        tokens = np.array(program.alphabet.tokens(64), dtype=np.int32)
        word = tokens[rng.integers(0, len(tokens), length)]
        read(program, word[:10])
        speeds = []
        for _ in range(5):
            began = time.perf_counter()
            read(program, word)
            speeds.append(length / (time.perf_counter() - began))
        return Measured(speeds, [TOKENS_PER_SECOND] * len(speeds))


for _name in ("parity", "majority", "dyck-final", "key-value"):
    _declare_speed(_name)


@cache
def _drawn(full: bool, seed: int) -> list[LanguageReport]:
    """Reports on languages of up to four states, half of them with a counter."""
    from bem_kernel.learning.language import learn_language
    from bem_kernel.learning.random_language import random_automaton, random_language
    from bem_kernel.learning.search import Effort

    reports = []
    for i in range(100 if full else 8):
        draw = random_language if i % 2 else random_automaton
        n_states = 2 + i // 2 % 3
        language = draw(2 * _UNSEEN + 100 * seed + i, n_states, 2 + (i // 6) % 2)
        reports.append(learn_language(language, Effort(time_ms=4 * MOST_SECONDS * 1000)))
    return reports


@row(
    "proof.learn_random_share",
    peer_name="every language of up to four states that was drawn (8; --full: 100)",
    unit="share proved",
    target=1.0,
)
def random_share(context: Context) -> Measured:
    """Up to 256 labelled examples and two minutes each."""
    reports = _drawn(context.full, context.seed)
    return Measured([sum(r.proof is not None for r in reports) / len(reports)], [1.0])


@row(
    "proof.learn_random_share_64",
    peer_name=f"the same, within {MOST_EXAMPLES} labelled examples and {MOST_SECONDS} s",
    unit="share proved",
    target=0.0,
)
def random_share_64(context: Context) -> Measured:
    """Four states with a counter have more to be told than 64 verdicts say."""
    reports = _drawn(context.full, context.seed)
    within = [
        r.proof is not None
        and len(r.examples) <= MOST_EXAMPLES
        and r.time_ms <= 1000 * MOST_SECONDS
        for r in reports
    ]
    return Measured([sum(within) / len(within)], [1.0])
