"""Hostile constraints: grammars, schemas, patterns that blow up, loop, or are nearly valid.

Each family below is a known way to make a compiler work much for a short text: repetition of
repetitions, automata that need a state for each subset, rules that double, references in a circle,
unions of hundreds, nesting beyond any stack, numbers and texts at the edge of what there is.
Half of what they make is damaged a little, so that it is nearly valid.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

Kind = Literal["json", "regex", "grammar", "choice", "tools"]

LONGEST = 60_000
"""Texts are cut here: a server refuses longer ones by their size alone."""

_ODD = [
    "\0", "\\", '"', "/", "(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "&", "~", "^", "$", ".",
    ":", ";", ",", "%", "#", "<", ">", "<-", "\n", "\r", "\t", " ", "\u2028", "\ufeff",
    "\U0010ffff", "é", "☃", "e\u0301", "\\u0000", "\\x", "\\p{L}", "\\b", "(?=", "(?<!", "{,}",
    "{9999999999}", "%ignore", "%json", "::_", "-1", "1e999", "start", "null",
    "\ud800",
]  # fmt: skip
_JUNK: list[Any] = [
    None, True, -1, 0, 10**30, 1e308, 5e-324, "", "\0", "\ud800", "é☃", "#", "#/", "^(", [], {},
    [[]], {"$ref": "#"}, {"type": "x"}, [None],
]  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A constraint of one kind, and the family that made it.

    Attributes:
        kind: `json`, `regex`, `grammar` and `choice` as in `structured_outputs`; `tools`: the
            parameters of a function.
        family: name of the function that made it.
        value: the constraint.
    """

    kind: Kind
    family: str
    value: Any


def hostile(rng: Random) -> Hostile:
    """A hostile constraint."""
    kind, families = rng.choice(_KINDS)
    family = rng.choice(families)
    value = family(rng)
    for _ in range(0 if kind == "choice" else rng.choice((0, 0, 1, 2, 5))):
        value = _damaged_text(rng, value) if isinstance(value, str) else _damaged(rng, value)
    if isinstance(value, str):
        value = value[:LONGEST] or "x"
    return Hostile(kind, family.__name__.strip("_"), value)


# -- damage ----------------------------------------------------------------------------------------


def _damaged_text(rng: Random, text: str) -> str:
    """A text with something put in, left out, or doubled."""
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice((0, 0, 1, 3, 20)))
    return text[:at] + rng.choice([rng.choice(_ODD), "", text[at:end] * 3]) + text[end:]


def _damaged(rng: Random, value: Any, depth: int = 0) -> Any:
    """A JSON value with something changed in it."""
    if depth > 8 or not value or rng.random() < 0.1:
        return rng.choice(_JUNK)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        match rng.randrange(4):
            case 0:
                return {name: part for name, part in value.items() if name != key}
            case 1:
                name = rng.choice(("type", "$ref", "not", "items", "enum", "minimum", "pattern"))
                return value | {name: rng.choice(_JUNK)}
            case _:
                return value | {key: _damaged(rng, value[key], depth + 1)}
    if isinstance(value, list):
        i = rng.randrange(len(value))
        return [*value[:i], _damaged(rng, value[i], depth + 1), *value[i + rng.randint(0, 1) :]]
    return _damaged_text(rng, value) if isinstance(value, str) else rng.choice(_JUNK)


def _size(rng: Random) -> int:
    """Mostly small, sometimes beyond reason."""
    return rng.choice((2, 3, 7, 20, 60, 200, 1000, 4000))


# -- patterns --------------------------------------------------------------------------------------


def _repeated_repeats(rng: Random) -> str:
    found, n = rng.choice(("a", "[ab]", "a?", ".", "\\w")), rng.choice((2, 9, 50, 999, 10**6))
    for _ in range(rng.randint(1, 6)):
        found = f"({found}){rng.choice(('*', '+', '?', f'{{{n}}}', f'{{0,{n}}}', f'{{{n},}}'))}"
    return found


def _subsets(rng: Random) -> str:
    """A deterministic automaton of this needs a state for each of 2^n subsets."""
    n = rng.choice((5, 15, 30, 200))
    return rng.choice((f"(a|b)*a(a|b){{{n}}}", f".*x.{{{n}}}", f"(.*a.{{{n}}}b)+|.*c.{{{n}}}"))


def _optional_row(rng: Random) -> str:
    n = _size(rng)
    return f"{'a?' * n}{'a' * n}"


def _alternatives(rng: Random) -> str:
    n = _size(rng)
    return "|".join(f"{rng.choice('ab.x')}{i:b}{rng.choice(('', '+', '.*'))}" for i in range(n))


def _parentheses(rng: Random) -> str:
    n = _size(rng)
    return "(" * n + "a" + ")" * n


def _classes(rng: Random) -> str:
    parts = ["\\p{L}", "\\P{Nd}", "[^\\x00]", "[\\u0000-\\U0010ffff]", "\\w", "\\D", "(?i:ß)", "☃"]
    return "".join(rng.choice(parts) + rng.choice(("*", "+", "{3}", "")) for _ in range(_size(rng)))


def _backtracking(rng: Random) -> str:
    """A backtracking matcher tries 2^n ways before it finds that there is none."""
    return rng.choice(("^(a+)+$", "^(a|a)*$", "^(a*)*b$", "(x+x+)+y", "^(\\w+\\s?)*$"))


def _not_regular(rng: Random) -> str:
    return rng.choice(("(?=a)b", "(a)\\1", "(?<!x)y", "a\\b.*", "^a$|^b", "(?P<n>a)(?P=n)")) * (
        rng.randint(1, 30)
    )


_PATTERNS: list[Callable[[Random], Any]] = [
    _repeated_repeats, _subsets, _optional_row, _alternatives, _parentheses, _classes, _not_regular,
    _backtracking,
]  # fmt: skip


def _pattern(rng: Random) -> str:
    return str(rng.choice(_PATTERNS)(rng))


# -- schemas ---------------------------------------------------------------------------------------


def _deep(rng: Random) -> Any:
    found: Any = {"type": "string"}
    wrap: list[Callable[[Any], Any]] = [
        lambda s: {"type": "object", "properties": {"a": s}, "required": ["a"]},
        lambda s: {"type": "array", "items": s},
        lambda s: {"not": s},
        lambda s: {"allOf": [s]},
        lambda s: {"anyOf": [s, {"type": "null"}]},
        lambda s: {"oneOf": [s, {"type": "array", "items": s}]} if len(str(s)) < 2000 else s,
        lambda s: {"if": s, "then": {"type": "string"}, "else": {"type": "null"}},
    ]
    one = rng.choice(wrap)
    for _ in range(rng.choice((3, 20, 100, 400))):
        found = (one if rng.random() < 0.9 else rng.choice(wrap))(found)
    return found


def _circles(rng: Random) -> Any:
    n = rng.randint(1, 6)
    forms: list[Callable[[str], Any]] = [
        lambda ref: {"$ref": ref},
        lambda ref: {"allOf": [{"$ref": ref}, {"$ref": "#"}]},
        lambda ref: {"not": {"$ref": ref}},
        lambda ref: {"anyOf": [{"$ref": ref}, {"type": "null"}]},
        lambda ref: {"type": "array", "items": {"$ref": ref}, "minItems": rng.randint(0, 2)},
        lambda ref: {"properties": {"x": {"$ref": ref}}, "required": ["x"]},
        lambda ref: {"properties": {"x": {"$ref": ref}}, "additionalProperties": {"$ref": ref}},
        lambda ref: {"$dynamicRef": ref},
    ]
    names = [rng.choice(("a", "b", "~0", "%25", "☃")) + str(i) for i in range(n)]
    refs = [f"#/$defs/{rng.choice(names)}" for _ in names]
    made = {name: rng.choice(forms)(ref) for name, ref in zip(names, refs, strict=True)}
    return {"$defs": made, **rng.choice(forms)(f"#/$defs/{names[0]}")}


def _doubled(rng: Random) -> Any:
    """Short to write, 2^n long when references are replaced."""
    word = rng.choice(("allOf", "anyOf", "oneOf", "prefixItems", "properties"))
    made: dict[str, Any] = {"a0": {"type": rng.choice(("string", "integer", "object"))}}
    for i in range(1, rng.choice((4, 12, 30, 200))):
        pair = [{"$ref": f"#/$defs/a{i - 1}"}, {"$ref": f"#/$defs/a{i - 1}"}]
        made[f"a{i}"] = {word: {"x": pair[0], "y": pair[1]} if word == "properties" else pair}
    return {"$defs": made, "$ref": f"#/$defs/a{len(made) - 1}"}


def _unions(rng: Random) -> Any:
    def branch(i: int) -> Any:
        return rng.choice((
            {"const": i}, {"const": f"x{i}"}, {"type": "integer", "minimum": i, "maximum": i * i},
            {"type": "string", "minLength": i % 50}, {"pattern": f"^a{{{i}}}"},
            {"properties": {f"p{i % 9}": {"const": i}}, "required": [f"p{i % 7}"]},
            {"type": "array", "minItems": i % 20}, {"multipleOf": i + 1},
        ))  # fmt: skip

    words = rng.choice((["anyOf"], ["oneOf"], ["allOf"], ["anyOf", "oneOf"], ["anyOf", "allOf"]))
    return {word: [branch(i) for i in range(min(_size(rng), 700))] for word in words}


def _objects(rng: Random) -> Any:
    n = min(_size(rng), 900)
    names = [rng.choice(("a", "\0", "☃", "é", '"')) + str(i) for i in range(n)]
    found: dict[str, Any] = {"type": "object", "properties": {name: {} for name in names}}
    for word, value in (
        ("required", rng.sample(names, rng.randint(0, n))),
        ("minProperties", _size(rng)),
        ("maxProperties", _size(rng)),
        ("patternProperties", {_pattern(rng)[:200]: {"type": "null"}, ".*": {"minimum": 3}}),
        ("propertyNames", {"pattern": _pattern(rng)[:200]}),
        ("additionalProperties", rng.choice((False, {"type": "integer"}, {"$ref": "#"}))),
        ("dependentRequired", dict.fromkeys(names[:50], names[:20])),
        ("dependentSchemas", {name: {"minProperties": i} for i, name in enumerate(names[:9])}),
        ("unevaluatedProperties", False),
    ):
        if rng.random() < 0.3:
            found[word] = value
    return found


def _arrays(rng: Random) -> Any:
    n = rng.choice((0, 1, 3, 100, 10**5, 10**9))
    found: dict[str, Any] = {"type": "array"}
    for word, value in (
        ("minItems", n),
        ("maxItems", n + rng.choice((-1, 0, 5, 10**6))),
        ("uniqueItems", True),
        ("items", rng.choice(({"enum": [1, 1.0, 2]}, {"$ref": "#"}, {"type": "boolean"}, False))),
        ("prefixItems", [{"const": i} for i in range(min(_size(rng), 500))]),
        ("contains", {"type": rng.choice(("integer", "array"))}),
        ("minContains", n),
        ("maxContains", rng.choice((0, 2, n))),
        ("unevaluatedItems", False),
    ):
        if rng.random() < 0.4:
            found[word] = value
    return found


def _numbers(rng: Random) -> Any:
    edge = [0, -1, 1, 0.1, -0.1, 1e-300, 1e308, 10**40, -(10**400), 5e-324, 2**53 + 1, 1.5e15]
    words = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    found = {word: rng.choice(edge) for word in words if rng.random() < 0.5}
    return {"type": rng.choice(("integer", "number")), **found}


def _strings(rng: Random) -> Any:
    found: dict[str, Any] = {"type": "string"}
    for word, value in (
        ("pattern", _pattern(rng)),
        ("minLength", rng.choice((0, 5, 10**4, 10**9))),
        ("maxLength", rng.choice((0, 5, 10**4, 10**9))),
        ("format", rng.choice(("date-time", "uri", "idn-email", "regex", "uuid", "x", "\0"))),
        ("not", {"pattern": _pattern(rng)}),
        ("allOf", [{"pattern": _pattern(rng)}, {"not": {"pattern": _pattern(rng)}}]),
    ):
        if rng.random() < 0.5:
            found[word] = value
    return found


def _enums(rng: Random) -> Any:
    values: list[Any] = [rng.choice((i, f"v{i}", "\0" * (i % 9), [i], {"a": i}, i / 7, "\ud800☃"))
                         for i in range(_size(rng))]  # fmt: skip
    return {"enum": values, **({"not": {"enum": values[::2]}} if rng.random() < 0.3 else {})}


def _backtracked(rng: Random) -> Any:
    """What a validator finds out about the only text there is, if it backtracks, in 2^n steps."""
    text, pattern = rng.choice(("a", "x")) * rng.choice((12, 40, 4000)) + "!", _backtracking(rng)
    return rng.choice((
        {"const": text, "not": {"pattern": pattern}},
        {"const": text, "anyOf": [{"pattern": pattern}, {"type": "string"}]},
        {"type": "object", "properties": {text: {}}, "required": [text],
         "patternProperties": {pattern: {"type": "null"}}, "additionalProperties": False},
        {"type": "object", "properties": {text: {}}, "required": [text],
         "unevaluatedProperties": False, "patternProperties": {pattern: {"type": "null"}}},
    ))  # fmt: skip


_SCHEMAS: list[Callable[[Random], Any]] = [
    _deep, _circles, _doubled, _unions, _objects, _arrays, _numbers, _strings, _enums,
    _backtracked,
]  # fmt: skip


# -- grammars --------------------------------------------------------------------------------------


def _nested(rng: Random) -> str:
    n = _size(rng)
    opened, closed = rng.choice((("(", ")"), ("[", "]"), ("(", ")*"), ("(", ")~1..9")))
    return f'start: {opened * n}"a"{closed * n}\n'


def _doubling(rng: Random) -> str:
    n = rng.choice((5, 20, 60, 500))
    body = rng.choice(("{0} {0}", "{0} | {0}", "({0} {0})*", "{0}? {0}?", "{0}{{2,3}} {0}"))
    rules = [f"r{i}: {body.format(f'r{i - 1}')}" for i in range(1, n)]
    return "\n".join([f"start: r{n - 1}", 'r0: "a"', *rules]) + "\n"


def _ambiguous(rng: Random) -> str:
    bodies = (
        "start start | \"a\" |", "x* x* x*\nx: \"a\" | x x |", "x\nx: y\ny: x | \"\"", "start",
        "x | y\nx: \"a\"* y\ny: \"a\"* x | \"b\"", "(\"a\"? \"a\"?)* start?",
        "/a*/ /a*/ /a*/ start?",
    )  # fmt: skip
    return f"start: {rng.choice(bodies)}\n"


def _terminals(rng: Random) -> str:
    patterns = [_pattern(rng)[:3000].replace("/", "\\/") for _ in range(rng.randint(1, 8))]
    lines = [f"T{i}: /{pattern}/" for i, pattern in enumerate(patterns)]
    joined = rng.choice((" ", " | ", " & ", " & ~")).join(f"T{i}" for i in range(len(lines)))
    lines += [f"ALL: {joined}", "%ignore /[ \\t\\n]+/"]
    return "\n".join([f"start: {rng.choice(('ALL', 'ALL*', 'T0+ ALL?'))}", *lines]) + "\n"


def _many_rules(rng: Random) -> str:
    n = _size(rng)
    rules = [
        f'r{i}: "{chr(97 + i % 26)}" r{rng.randrange(n)} | /{chr(97 + i % 20)}\\d*/ r{(i + 1) % n}?'
        for i in range(n)
    ]
    return "\n".join([f"start: {' | '.join(f'r{i}' for i in range(0, n, 3))}", *rules]) + "\n"


def _repeats(rng: Random) -> str:
    n = rng.choice((9, 1000, 10**5, 2**31, 2**63, 10**30))
    bodies = (
        f'"a"{{{n}}}', f'("a" | "b"){{0,{n}}}', f'("a"{{0,{n}}}){{0,{n}}}', f'"a"~{n}',
        f'("a"? "b"){{{n},}}', f"/a{{{n}}}/", f"/(a{{0,{n}}}b){{0,{n}}}/",
    )  # fmt: skip
    return f"start: {rng.choice(bodies)}\n"


def _features(rng: Random) -> str:
    """What llguidance knows beyond Lark."""
    schema = json.dumps(rng.choice(_SCHEMAS)(rng))[:20_000]
    words = json.dumps(["ab"] * _size(rng))
    return rng.choice((
        f"start: %json {schema}\n",
        f'start: %regex {{ "substring_chunks": {words} }}\n',
        f'start: %regex {{ "substring_words": {words} }}\n',
        f"start: {'<[0-99999]> ' * min(_size(rng), 200)}\n",
        "start: <|x|> <[^1-3]>* <end>\n",
        'start: a::0\na::_: "x" a::incr(_) %if bit_clear(3) | "y" %if is_ones([0:9])\n',
        'start: a::0\na::_: "x" a::set_bit(0) a::_ | a::decr(_) | "" %if ge([0:64],1)\n',
        'start[capture="x", lazy]: /.*/ start\n',
        "start: @x\n%llguidance { \"no_forcing\": true, \"x\": 1 }\n",
        "start: gen\ngen[max_tokens=99999999999]: /(?s:.*)/\n",
        "start: T\nT[suffix=\"\\0\"]: /.*/\n",
    ))  # fmt: skip


_GRAMMARS: list[Callable[[Random], Any]] = [
    _nested, _doubling, _ambiguous, _terminals, _many_rules, _repeats, _features,
]  # fmt: skip


def _choices(rng: Random) -> list[str]:
    return [rng.choice(("a", "\0", "é☃", '"', "\\", "\ud800", "x" * 50)) * (i % 40 + 1) + str(i)
            for i in range(_size(rng))]  # fmt: skip


_KINDS: list[tuple[Kind, list[Callable[[Random], Any]]]] = [
    ("json", _SCHEMAS),
    ("json", _SCHEMAS),
    ("regex", _PATTERNS),
    ("grammar", _GRAMMARS),
    ("choice", [_choices]),
    ("tools", _SCHEMAS),
]
