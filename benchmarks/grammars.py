"""Do the mask and lark's parser agree on a grammar? Random walks, sentences and near misses.

A file may say in its first line how it is read: `// start: file_input`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lark
import numpy as np
from llguidance import LLMatcher, LLTokenizer

from bb_core.errors import BBError
from bb_domains.profile.lowering import Lowered, lower, mask_grammar
from bb_domains.profile.peg_lowering import PEG_SUFFIX, read_peg
from bb_domains.profile.sentences import Sentences
from bb_domains.profile.source import Source, offline_parser, read_grammar

BYTES = 256
_KIND = np.array(
    [
        0 if chr(byte).isalpha() and byte < 128 else 1 if 48 <= byte < 58 else
        3 if byte in b" \t\r\n" else 2 if 32 < byte < 127 else 4
        for byte in range(BYTES)
    ]
)  # fmt: skip
"""Letters, digits, signs, blanks and line ends, all others."""
_START = re.compile(r"//\s*start:\s*(\w+)")
_BUILTIN = Path(lark.__file__).parent / "grammars"


@dataclass
class Agreement:
    """What was compared, and what differed.

    Attributes:
        agreed: texts that both accept or both refuse.
        accepted: those of them that both accept.
        walks: texts that a random walk of the mask has written to an end.
        wrong: texts that the mask writes and the parser refuses.
        missed: texts that the parser accepts and the mask does not offer.
    """

    agreed: int = 0
    accepted: int = 0
    walks: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def load(path: Path) -> Source:
    """Read a grammar or PEG file, with the start rule that its first line names."""
    if path.suffix == PEG_SUFFIX:
        return read_peg(path)
    named = _START.match(path.read_text(encoding="utf-8"))
    return read_grammar(path, named[1] if named else "start")


def corpus(folder: Path | None) -> list[Path]:
    """The grammars of a folder, all below it; without one, those that come with lark."""
    if folder is None:
        return [_BUILTIN / "lark.lark"]
    return sorted(p for p in folder.rglob("*") if p.suffix in {".lark", PEG_SUFFIX})


def matcher(grammar: str) -> LLMatcher:
    """A matcher over bytes.

    Raises:
        BBError: llguidance refuses the grammar.
    """
    found = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_lark(grammar), log_level=0)
    if found.is_error():
        raise BBError(found.get_error().strip(), where="llguidance")
    return found


def accepts(start: LLMatcher, text: str) -> bool:
    """Whether the mask would let a text through as a whole."""
    state, data = start.deep_copy(), list(text.encode())
    taken = state.try_consume_tokens(data) if data else 0
    return bool(taken == len(data) and state.is_accepting())


def parses(source: Source) -> Callable[[str], bool]:
    """Whether lark's parser accepts a text."""
    parser = offline_parser(source)

    def accepted(text: str) -> bool:
        try:
            parser.parse(text)
        except lark.exceptions.LarkError:
            return False
        except RuntimeError as error:
            # lark 1.3 found the text twice, with and without the ignored text at its end.
            return "multiple start symbol items" in str(error)
        return True

    return accepted


def walk(start: LLMatcher, draw: random.Random, most_bytes: int = 100) -> str | None:
    """A text written by choosing among what the mask allows; None if it came to no end.

    First a kind of byte is chosen, then a byte: with bytes alike, names would hardly ever end.
    """
    state, written = start.deep_copy(), bytearray()
    while len(written) < most_bytes:
        if state.is_accepting() and draw.random() < 0.12:
            break
        mask = np.frombuffer(state.compute_bitmask(), dtype=np.uint8)
        allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[:BYTES])
        if not len(allowed):
            break
        kinds = [kind for kind in (allowed[_KIND[allowed] == k] for k in range(5)) if len(kind)]
        usual = kinds[:-1] if len(kinds) > 1 and _KIND[kinds[-1][0]] == 4 else kinds
        byte = int(draw.choice(draw.choice(usual if draw.random() < 0.97 else kinds)))
        state.consume_token(byte)
        written.append(byte)
    return written.decode() if state.is_accepting() else None


def compare(
    lowered: Lowered, rounds: int, seed: int = 0, limit_s: float = float("inf")
) -> Agreement:
    """Compare mask and parser on so many walks, sentences and near misses, each."""
    start, parsed = matcher(mask_grammar(lowered)), parses(lowered.source)
    found, ends_s = Agreement(), time.monotonic() + limit_s
    for text, walked in _texts(lowered, start, rounds, seed):
        masked, accepted = accepts(start, text), parsed(text)
        found.walks += walked
        if masked == accepted:
            found.agreed += 1
            found.accepted += accepted
        else:
            (found.wrong if masked else found.missed).append(text)
        if time.monotonic() > ends_s:
            break
    return found


def _texts(
    lowered: Lowered, start: LLMatcher, rounds: int, seed: int
) -> Iterator[tuple[str, bool]]:
    draw, sentences = random.Random(seed), Sentences(lowered, seed)
    for _ in range(rounds):
        text = sentences.draw(draw.randint(1, 30))
        yield text, False
        yield sentences.near_miss(text), False
        walked = walk(start, draw)
        if walked is not None:
            yield walked, True


def lowered_all(paths: list[Path]) -> tuple[list[Lowered], list[str]]:
    """Those that can be lowered, and why the others cannot."""
    found: list[Lowered] = []
    refused: list[str] = []
    for path in paths:
        try:
            item = lower(load(path))
            matcher(mask_grammar(item))
            found.append(item)
        except BBError as error:
            refused.append(str(error))
    return found, refused
