"""A grammar file as lark itself understands it: its rule and terminal objects.

Lark resolves imports, templates, `%extend` and repetition; what is left are plain rules over
terminals, the same for every parser of lark.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bb_core.files import read_text
from bb_domains.errors import ProfileError, UnknownStart
from bb_domains.profile.size import check_names, check_size


@dataclass(frozen=True)
class Source:
    """A grammar that lark has read.

    Attributes:
        text: the file.
        name: where it comes from, for messages.
        start: the rule that a text is.
        terminals: lark's terminal definitions.
        rules: lark's plain rules.
        ignored: names of the terminals that may stand between tokens.
        imports: folders in which imports are looked up.
        imported: files that it imports, directly or not.
    """

    text: str
    name: str
    start: str
    terminals: tuple[Any, ...]
    rules: tuple[Any, ...]
    ignored: tuple[str, ...]
    imports: tuple[str, ...]
    imported: tuple[Path, ...] = ()

    @cached_property
    def conflict(self) -> str:
        """Why the grammar is not LALR(1); empty if it is.

        Lark decides between shifting and reducing by itself, which leaves sentences out, so such
        a grammar is parsed by Earley's algorithm.
        """
        from lark.exceptions import GrammarError

        try:
            self.analysis.compute_lalr()
        except GrammarError as error:
            return " ".join(str(error).split())
        return ""

    @cached_property
    def analysis(self) -> Any:
        """Lark's LALR(1) analysis of the rules; `conflict` computes its states."""
        from lark.common import ParserConf
        from lark.parsers.lalr_analysis import LALR_Analyzer

        callbacks: dict[Any, Any] = dict.fromkeys(self.rules)
        return LALR_Analyzer(
            ParserConf(list(self.rules), callbacks, [self.start]), debug=True, strict=True
        )

    @property
    def engine(self) -> str:
        """The parser of lark that reads texts: `lalr`, or `earley` for what is not LALR(1)."""
        return "earley" if self.conflict else "lalr"

    def where(self, name: str) -> str:
        """File and line in which a rule or terminal is defined; the file if it is imported."""
        pattern = rf"^\s*[?!]*{re.escape(name)}(\.-?\d+)?(\{{[^}}]*\}})?\s*(\.-?\d+)?\s*:"
        if name.startswith("%"):
            pattern = rf"^\s*{name}\b"
        found = re.search(pattern, self.text, re.MULTILINE)
        if found is None:
            return f"{self.name}: {name}"
        line = self.text.count("\n", 0, found.start() + len(found[0]) - len(found[0].lstrip())) + 1
        return f"{self.name}:{line}: {name}"


def read_grammar(path: Path, start: str = "start") -> Source:
    """Read a grammar file.

    Raises:
        BBError: the file cannot be read, or lark refuses it.
    """
    return parse_grammar(read_text(path), start, str(path), (str(path.parent),))


def parse_grammar(
    text: str, start: str = "start", name: str = "grammar.lark", imports: tuple[str, ...] = ()
) -> Source:
    """Read a grammar.

    Args:
        text: the file.
        start: the rule that a text is.
        name: for messages.
        imports: folders in which `%import .other` and `%import other` are looked up.

    Raises:
        ProfileError: lark refuses it or would write out too much (`size`), there is no such rule
            (`UnknownStart`), or a terminal has no pattern.
    """
    from lark.exceptions import LarkError
    from lark.load_grammar import GrammarBuilder

    try:
        check_names(text, name)
        builder: Any = GrammarBuilder(False, list(imports))
        builder.load_grammar(text, name if imports else "<string>")
        grammar: Any = builder.build()
        _has_rule(grammar, start, name)
        check_size(grammar, name)
        terminals, rules, ignored = grammar.compile([start], set())
    except (LarkError, OSError, AssertionError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise ProfileError(f"lark refuses it: {message}", where=name, fix="mend it") from None
    named = {terminal.name for terminal in terminals}
    for rule in rules:
        for symbol in rule.expansion:
            if symbol.is_term and symbol.name not in named:
                raise ProfileError(
                    f"terminal {symbol.name} is declared without a pattern, for a lexer of its own",
                    where=name,
                    fix="give it a pattern; a mask knows no other lexer",
                )
    used = {s.name for rule in rules for s in rule.expansion if s.is_term} | set(ignored)
    kept = tuple(copy.copy(t) for t in terminals if t.name in used)
    imported = tuple(Path(file) for file in builder.used_files if isinstance(file, str))
    return Source(
        text, name, start, kept, tuple(rules), tuple(dict.fromkeys(ignored)), imports, imported
    )


def _has_rule(grammar: Any, start: str, where: str) -> None:
    known = [str(name) for name, *_ in grammar.rule_defs]
    if start not in known:
        shown = ", ".join([name for name in known if not name.startswith("_")][:12])
        raise UnknownStart(
            f"has no rule {start!r}",
            where=where,
            fix=f"name the start rule: {shown}" if shown else "it holds terminals only",
        )


def offline_parser(source: Source) -> Any:
    """The `lark.Lark` that reads texts of this grammar, and agrees with its mask."""
    from lark import Lark

    options: dict[str, Any] = {"lexer": "contextual" if source.engine == "lalr" else "dynamic"}
    return Lark(
        source.text,
        start=source.start,
        parser=source.engine,
        source_path=source.name if source.imports else None,
        import_paths=list(source.imports),
        maybe_placeholders=False,
        **options,
    )
