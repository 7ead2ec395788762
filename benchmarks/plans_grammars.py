"""How many real Lark grammars serve both engines, and do the engines agree on them?

`--data DIR`: a folder `grammars` in DIR with .lark and .peg files.
"""

from __future__ import annotations

from llguidance import LLMatcher, LLTokenizer

from bb_core.errors import BBError
from bb_domains.profile.lowering import Lowered
from benchmarks.frame import Context, Measured, UnavailableError, row
from benchmarks.grammars import compare, corpus, lowered_all

_NO_COUNTERPART = ("lookahead", "lookbehind", "anchor", "declared without", "terminals only")


def _paths(context: Context) -> list[Lowered]:
    folder = context.data / "grammars" if context.data else None
    if folder is None or not folder.is_dir():
        raise UnavailableError("no folder of grammars; give --data with DIR/grammars")
    found, refused = lowered_all(corpus(folder))
    other = [why for why in refused if not any(word in why for word in _NO_COUNTERPART)]
    if other:
        raise BBError(f"refused without need: {other[0]}", where="plans.grammars")
    return found


@row("plans.grammars_usable", peer_name="verbatim", unit="grammars", target=1.5)
def grammars_usable(context: Context) -> Measured:
    """Grammars that llguidance takes once lowered, and those that it takes as they stand."""
    lowered = _paths(context)
    tokenizer = LLTokenizer("byte")
    verbatim = 0
    for item in lowered:
        grammar = LLMatcher.grammar_from_lark(item.source.text)
        verbatim += not LLMatcher(tokenizer, grammar, log_level=0).is_error()
    return Measured([float(len(lowered))], [float(verbatim)])


@row("plans.grammars_agree", peer_name="5,000 walks", unit="walks agreed", target=1.0)
def grammars_agree(context: Context) -> Measured:
    """Random walks of the masks that lark's parsers accept, to 5,000; a refused one fails."""
    lowered, walks, seed = _paths(context), 0, context.seed
    most = 20 if context.full else 4
    for turn in range(most):
        for item in lowered:
            found = compare(item, 100, seed + turn, limit_s=5.0)
            if found.wrong:
                where = item.source.name
                raise BBError(f"the mask wrote {found.wrong[0]!r}, refused by lark", where=where)
            walks += found.walks
        if walks >= 5000:
            break
    return Measured([float(min(walks, 5000))], [5000.0])
