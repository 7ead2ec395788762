"""How many real Lark grammars serve both engines, and do the engines agree on them?

`--data DIR`: a folder `grammars` in DIR with .lark and .peg files.
"""

from __future__ import annotations

from functools import lru_cache

from llguidance import LLMatcher, LLTokenizer

from bb_core.errors import BBError
from bb_core.progress import Progress
from bb_domains.profile.lowering import Lowered
from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.grammars import compare, corpus, lowered_all

WALKS = 5000
_LOOKAROUND = ("lookahead", "lookbehind", "anchor")
_NO_GRAMMAR = ("declared without a pattern", "terminals only")
"""Files that need a lexer written in Python beside them, and libraries of terminals."""


@lru_cache(maxsize=1)
def _grammars(context: Context) -> tuple[list[Lowered], list[str]]:
    """The grammars that can be lowered, and why others without lookaround cannot."""
    folder = context.data / "grammars" if context.data else None
    if folder is None or not folder.is_dir():
        raise UnavailableError("no folder of grammars; give --data with DIR/grammars")
    found, refused = lowered_all(corpus(folder))
    expected = _LOOKAROUND + _NO_GRAMMAR
    return found, [why for why in refused if not any(word in why for word in expected)]


@row("plans.grammars_lowered", peer_name="all without lookaround", unit="grammars", target=1.0)
def grammars_lowered(context: Context) -> Measured:
    """Grammars that both engines take, among those that are whole and hold no lookaround."""
    lowered, refused = _grammars(context)
    return Measured([len(lowered)], [len(lowered) + len(refused)])


@row("plans.grammars_usable", peer_name="verbatim", unit="grammars", target=1.5)
def grammars_usable(context: Context) -> Measured:
    """The same against those that llguidance takes as they stand, rightly or not."""
    lowered, _ = _grammars(context)
    tokenizer = LLTokenizer("byte")
    verbatim = 0
    for item in lowered:
        grammar = LLMatcher.grammar_from_lark(item.source.text)
        verbatim += not LLMatcher(tokenizer, grammar, log_level=0).is_error()
    return Measured([len(lowered)], [verbatim])


@row("plans.grammars_agree", peer_name="5,000 walks", unit="walks agreed", target=1.0)
def grammars_agree(context: Context) -> Measured:
    """Random walks of the masks that lark's parsers accept, to 5,000; a refused one fails."""
    lowered, _ = _grammars(context)
    walks = dict.fromkeys((item.source.name for item in lowered), 0)
    with Progress(WALKS, "random walks") as progress:
        for turn in range(20 if context.full else 4):
            for item in lowered:
                name = item.source.name
                found = compare(item, 100, context.seed + turn, limit_s=5.0)
                if found.wrong:
                    raise BBError(f"the mask wrote {found.wrong[0]!r}, refused by lark", where=name)
                walks[name] += found.walks
                progress.update(min(sum(walks.values()), WALKS))
            if sum(walks.values()) >= WALKS:
                break
    never = [name for name, count in walks.items() if not count]
    if never:
        raise BBError("no walk came to an end", where=", ".join(never), fix="walk further")
    return Measured([min(sum(walks.values()), WALKS)], [WALKS])
