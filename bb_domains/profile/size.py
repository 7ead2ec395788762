"""How large a grammar becomes when lark writes it out: bounded, before lark does.

Lark makes a rule of each use of a template, an alternative of each way through a rule's choices and
repetitions, and one expression of a terminal and all that it names; a few lines can ask for more
than any machine holds. What is counted is lark's own result, up to its sharing of equal parts.
"""

from __future__ import annotations

import re
from typing import Any

from bb_domains.errors import ProfileError

MOST_ALTERNATIVES = 20_000
MOST_CHARACTERS = 100_000
MOST_TEMPLATES = 500
MOST_NAMES = 5_000
_FACTOR = 10
"""Lark breaks long repetitions into rules of at most so many symbols."""
_LONG = 50
_SPLIT = "split it"
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/(?:[^/\\\n]|\\.)+/')
_DEFINITION = re.compile(r"^[ \t]*[!?]*([A-Za-z_]\w*)[^\n:|]*:", re.MULTILINE)
_TERMINAL = re.compile(r"\b_?[A-Z][A-Z0-9_]*\b")


def check_names(text: str, name: str) -> None:
    """Check that no terminal of a file names too many others, and these again others.

    Lark follows all those names as soon as it reads the file; imported files are not looked at.

    Raises:
        ProfileError: one does.
    """
    parts = _DEFINITION.split(_QUOTED.sub(" ", text))
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    sizes: dict[str, int] = {}

    def size(terminal: str) -> int:
        if terminal not in sizes:
            sizes[terminal] = 1  # of one that names itself, which lark refuses
            named = _TERMINAL.findall(bodies.get(terminal, ""))
            sizes[terminal] = min(1 + sum(map(size, named)), MOST_NAMES + 1)
        return sizes[terminal]

    for terminal in filter(_TERMINAL.fullmatch, bodies):
        if size(terminal) > MOST_NAMES:
            what = f"names more than {MOST_NAMES} terminals, counting what these name"
            raise ProfileError(what, where=f"{name}: {terminal}", fix="repeat less within it")


def check_size(grammar: Any, name: str) -> None:
    """Check that a grammar that lark has read, and not yet compiled, stays of a bearable size.

    Raises:
        ProfileError: it does not; names the rule or terminal.
    """
    _Templates(grammar, name).check()
    for rule, _, tree, _ in grammar.rule_defs:
        if _alternatives(tree) > MOST_ALTERNATIVES:
            what = f"becomes more than {MOST_ALTERNATIVES} alternatives when it is written out"
            raise ProfileError(what, where=f"{name}: {rule}", fix=_SPLIT)
    sizes: dict[int, int] = {}
    for terminal, (tree, _) in grammar.term_defs:
        if tree is not None and _characters(tree, sizes) > MOST_CHARACTERS:
            what = f"becomes more than {MOST_CHARACTERS} characters when it is written out"
            raise ProfileError(what, where=f"{name}: {terminal}", fix="repeat less within it")


def _repeated(children: Any) -> tuple[str, int, int]:
    """The operator of a repetition, and its bounds if it is `~`."""
    numbers = [int(number) for number in children[2:]]
    return str(children[1]), min(numbers, default=0), max(numbers, default=0)


def _alternatives(tree: Any) -> int:
    """Into how many alternatives a part is expanded; beyond the bound, any number above it."""
    if not hasattr(tree, "children") or tree.data in ("literal", "range", "template_usage"):
        return 1
    counts = [_alternatives(child) for child in tree.children]
    found = 1
    match str(tree.data):
        case "expansions":
            found = sum(counts)
        case "expansion":
            for count in counts:
                found = min(found * count, MOST_ALTERNATIVES + 1)
        case "maybe":
            found = counts[0] + 1
        case "expr":
            operator, least, most = _repeated(tree.children)
            is_rule = operator in "+*" or most >= _LONG  # a rule of its own, once it is large
            if operator == "~":
                least, most = (_FACTOR, _FACTOR) if is_rule else (least, most)
                found = sum(min(counts[0], MOST_ALTERNATIVES) ** n for n in range(least, most + 1))
            else:
                found = counts[0] + (operator != "+")
            found = 2 if is_rule and found <= MOST_ALTERNATIVES else found
        case _:
            found = max(counts, default=1)
    return min(found, MOST_ALTERNATIVES + 1)


def _characters(tree: Any, known: dict[int, int]) -> int:
    """Of the expression that a terminal becomes, its repetitions written out; parts are shared."""
    if not hasattr(tree, "children"):
        return len(str(tree))
    if id(tree) not in known:
        found = sum(_characters(child, known) for child in tree.children) + 1
        if tree.data == "expr":
            found *= max(1, _repeated(tree.children)[2])
        known[id(tree)] = min(found, MOST_CHARACTERS + 1)
    return known[id(tree)]


class _Templates:
    """The uses of templates, followed as lark would, up to a number of them."""

    def __init__(self, grammar: Any, name: str) -> None:
        self._name = name
        self._rules = {str(rule): (params, tree) for rule, params, tree, _ in grammar.rule_defs}
        self._made: set[str] = set()
        self._waiting: list[tuple[Any, dict[str, str]]] = []

    def check(self) -> None:
        self._waiting = [(tree, {}) for params, tree in self._rules.values() if not params]
        while self._waiting:
            tree, given = self._waiting.pop()
            for use in tree.find_data("template_usage"):
                self._use(use, given)

    def _use(self, use: Any, given: dict[str, str]) -> str:
        """The name of the rule that a use becomes."""
        rule = str(use.children[0].name)
        args = [self._argument(value.children[0], given) for value in use.children[1:]]
        made = f"{rule}{{{','.join(args)}}}"
        if made not in self._made and rule in self._rules:
            self._made.add(made)
            if len(self._made) > MOST_TEMPLATES or len(made) > MOST_CHARACTERS:
                what = (
                    f"the template becomes more than {MOST_TEMPLATES} rules, or names without end"
                )
                fix = "let it use itself with its own parameters only"
                raise ProfileError(what, where=f"{self._name}: {rule}", fix=fix)
            params, tree = self._rules[rule]
            self._waiting.append((tree, dict(zip(params, args, strict=False))))
        return made

    def _argument(self, value: Any, given: dict[str, str]) -> str:
        if getattr(value, "data", "") == "template_usage":
            return self._use(value, given)
        name = str(getattr(value, "name", value))
        return given.get(name, name)
