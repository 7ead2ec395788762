"""Conditions on states in text: Boolean over state bits, with comparisons of integers.

    !x  x & y  x ^ y  x | y  x -> y  x <-> y  ( x )  true  false  closed  looked_up(order)
    r1  -3  0xff  count  table[2]  a + b  a - b  a * b  a == b  !=  <  <=  >  >=  0 <= r1 < 8

`r1` is a register, `count` the first word of that name of data, `table[2]` its third word, all
signed; `r1[3]` is bit 3 of a register. Arithmetic is that of the integers and never wraps.
Comparisons bind tighter than `!`. A formula in CNF (`logic.cnf.Cnf`) over the state bits, variable
v for bit v - 1, is a condition too.

Source: BEM core spec 9.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, reduce

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput

from bem_kernel.errors import HoareError
from bem_kernel.hoare.moment import Predicate
from bem_kernel.hoare.state import Layout, State
from bem_kernel.hoare.words import WIDTH, Word, WordBuilder
from bem_kernel.isa.instructions import REGISTERS
from bem_kernel.logic.cnf import Cnf

Formula = str | Cnf

GRAMMAR = r"""
?start: iff
?iff: implies | iff "<->" implies
?implies: or_ | or_ "->" implies
?or_: xor | or_ "|" xor
?xor: and_ | xor "^" and_
?and_: not_ | and_ "&" not_
?not_: "!" not_ -> negation | compare
?compare: sum | sum (COMPARE sum)+
?sum: product | sum "+" product -> plus | sum "-" product -> minus
?product: unary | product "*" unary -> times
?unary: "-" unary -> negative | item
?item: "(" iff ")"
     | NUMBER -> number
     | "true" -> true
     | "false" -> false
     | NAME -> name
     | NAME "[" NUMBER "]" -> element
COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
NUMBER: /0x[0-9a-fA-F]{1,16}|[0-9]{1,20}/
NAME: /[A-Za-z_][A-Za-z0-9_.]*([ ]*\([ ]*[A-Za-z0-9_.]+([ ]*,[ ]*[A-Za-z0-9_.]+)*[ ]*\))?/
%ignore /[ \t\r\n]+/
"""

MAX_TEXT = 20_000
_MAX_BITS = 160
_REGISTER = re.compile(r"r([0-9]{1,2})")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def predicate(formula: Formula, layout: Layout, where: str = "formula") -> Predicate:
    """The condition that a formula states.

    Args:
        formula: text, or CNF over the state bits.
        layout: of the program that it is about.
        where: for messages.

    Raises:
        HoareError: it does not parse (with line and column), names what the program does not
            have, or mixes up numbers and conditions.
    """
    if isinstance(formula, Cnf):
        return _of_cnf(formula, layout, where)
    if len(formula) > MAX_TEXT:
        raise HoareError(
            f"{len(formula)} characters", where=where, fix=f"use at most {MAX_TEXT}, or more lines"
        )
    try:
        tree: Tree[Token] = _parser().parse(formula)
    except UnexpectedInput as error:
        raise _syntax_error(formula, error, where) from None

    def holds(builder: WordBuilder, state: State) -> int:
        return _Compiler(builder, layout, state, where).condition(tree)

    trial = WordBuilder()  # names and kinds are checked at once, on a state that is all zero
    zero = trial.constant(0)
    holds(trial, State((zero,) * REGISTERS, dict.fromkeys(layout.places().values(), zero)))
    return holds


def conjunction(predicates: tuple[Predicate, ...]) -> Predicate:
    """The condition that all of some hold."""
    return lambda builder, state: builder.all(p(builder, state) for p in predicates)


def _of_cnf(cnf: Cnf, layout: Layout, where: str) -> Predicate:
    n_bits = layout.program.n_bits
    if cnf.n_vars > n_bits:
        raise HoareError(
            f"a formula of {cnf.n_vars} variables, the program has {n_bits} state bits",
            where=where,
            fix="use variable v for state bit v - 1",
        )
    clauses = cnf.clauses()

    def holds(builder: WordBuilder, state: State) -> int:
        def literal(x: int) -> int:
            slot = state.words[layout.plane(abs(x) - 1)][0]
            return slot if x > 0 else builder.not_(slot)

        return builder.all(builder.any(literal(x) for x in clause) for clause in clauses)

    return holds


def _syntax_error(text: str, error: UnexpectedInput, where: str) -> HoareError:
    found, place = "the text ends too early", "the end"
    if isinstance(error, UnexpectedCharacters):
        found, place = f"unexpected character {error.char!r}", f"column {error.column}"
    elif (token := getattr(error, "token", None)) is not None and token.type != "$END":
        found, place = f"unexpected {str(token)!r}", f"column {error.column}"
    return HoareError(
        f"{found} in {text[:60]!r}", where=f"{where}: {place}", fix="see bem_kernel.hoare.formula"
    )


_Value = tuple[bool, Word]  # whether it is a condition, and its slots
_BINARY = {"and_": "and_", "or_": "or_", "xor": "xor"}


class _Compiler:
    """One formula on one state."""

    def __init__(self, builder: WordBuilder, layout: Layout, state: State, where: str) -> None:
        self.b, self.layout, self.state, self.where = builder, layout, state, where

    def condition(self, tree: Tree[Token]) -> int:
        """The slot of a whole formula; bottom up, since formulas may be deep."""
        values: dict[int, _Value] = {}
        for node in tree.iter_subtrees():
            operands = [values[id(child)] for child in node.children if isinstance(child, Tree)]
            tokens = [str(child) for child in node.children if isinstance(child, Token)]
            values[id(node)] = self._node(str(node.data), operands, tokens)
        return self._bit(values[id(tree)])

    def _node(self, kind: str, operands: list[_Value], tokens: list[str]) -> _Value:
        b = self.b
        match kind:
            case "true" | "false":
                return True, (b.one if kind == "true" else b.zero,)
            case "number":
                value = int(tokens[0], 0)
                return False, b.constant(value, value.bit_length() + 1)
            case "name":
                return self._name("".join(tokens[0].split()))
            case "element":
                return self._element(tokens[0], int(tokens[1], 0))
            case "negation":
                return True, (b.not_(self._bit(operands[0])),)
            case "and_" | "or_" | "xor" | "implies" | "iff":
                return True, (self._boolean(kind, *(self._bit(x) for x in operands)),)
            case "compare":
                return True, (self._compare([self._number(x) for x in operands], tokens),)
            case _:
                return False, self._arithmetic(kind, [self._number(x) for x in operands])

    def _boolean(self, kind: str, a: int, c: int) -> int:
        b = self.b
        if kind == "implies":
            return b.or_(b.not_(a), c)
        if kind == "iff":
            return b.not_(b.xor(a, c))
        gate: Callable[[int, int], int] = getattr(b, _BINARY[kind])
        return gate(a, c)

    def _compare(self, numbers: list[Word], signs: list[str]) -> int:
        width = max(len(word) for word in numbers)
        words = [self.b.extend(word, width) for word in numbers]
        pairs = zip(words, words[1:], signs, strict=False)
        return self.b.all(self._pair(x, y, sign) for x, y, sign in pairs)

    def _pair(self, x: Word, y: Word, sign: str) -> int:
        b = self.b
        match sign:
            case "==":
                return b.equal(x, y)
            case "!=":
                return b.not_(b.equal(x, y))
            case "<":
                return b.less(x, y)
            case ">":
                return b.less(y, x)
            case "<=":
                return b.not_(b.less(y, x))
            case _:
                return b.not_(b.less(x, y))

    def _arithmetic(self, kind: str, numbers: list[Word]) -> Word:
        b = self.b
        widths = [len(word) for word in numbers]
        width = sum(widths) if kind == "times" else max(widths) + 1
        if width > _MAX_BITS:
            raise self._refused(f"a number of {width} bits", f"keep within {_MAX_BITS}")
        if kind == "times":
            return b.multiply(numbers[0], numbers[1], width)
        words = [b.extend(word, width) for word in numbers]
        if kind == "negative":
            return b.subtract(b.constant(0, width), words[0])
        return reduce(b.add if kind == "plus" else b.subtract, words)

    def _name(self, name: str) -> _Value:
        register = _REGISTER.fullmatch(name)
        if register:
            return False, self._register(name, int(register.group(1)))
        program = self.layout.program
        if name in program.bit_names:
            plane = self.layout.plane(program.bit_names.index(name))
            return True, (self.state.words[plane][0],)
        return False, self._word(name, 0)

    def _element(self, name: str, index: int) -> _Value:
        register = _REGISTER.fullmatch(name)
        if register is None:
            return False, self._word(name, index)
        if index >= WIDTH:
            raise self._refused(f"bit {index} of {name}", f"use 0 to {WIDTH - 1}")
        return True, (self._register(name, int(register.group(1)))[index],)

    def _register(self, name: str, index: int) -> Word:
        if index >= REGISTERS:
            raise self._refused(f"no register {name}", f"use r0 to r{REGISTERS - 1}")
        return self.state.registers[index]

    def _word(self, name: str, index: int) -> Word:
        try:
            places = self.layout.data(name)
        except KeyError:
            fix = "name a state bit, a register or a name of data"
            raise self._refused(f"no {name!r} in the program", fix) from None
        if index >= len(places):
            raise self._refused(f"{name}[{index}]", f"{name} has {len(places)} words")
        return self.state.words[places[index]]

    def _bit(self, value: _Value) -> int:
        if not value[0]:
            raise self._refused("a number where a condition should be", "compare it: r1 != 0")
        return value[1][0]

    def _number(self, value: _Value) -> Word:
        if value[0]:
            raise self._refused("a condition where a number should be", "join conditions by <->")
        return value[1]

    def _refused(self, what: str, fix: str) -> HoareError:
        return HoareError(what, where=self.where, fix=fix)
