"""Boolean expressions in text, compiled to circuits.

    true  false  name  name(arg, arg)  !x  x & y  x ^ y  x | y  x -> y  x <-> y  ( x )

Operators bind in this order, `!` tightest; `->` groups to the right, the others to the left. An
atom may carry arguments, as fluents do: `owner_confirmed(order)`. Spaces inside it do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ExpressionError

GRAMMAR = r"""
?start: iff
?iff: implies | iff "<->" implies
?implies: or_ | or_ "->" implies
?or_: xor | or_ "|" xor
?xor: and_ | xor "^" and_
?and_: unary | and_ "&" unary
?unary: "!" unary -> not_
      | "(" iff ")"
      | "true" -> true
      | "false" -> false
      | ATOM -> atom
ATOM: /[A-Za-z_][A-Za-z0-9_.]*([ ]*\([ ]*[A-Za-z0-9_.]+([ ]*,[ ]*[A-Za-z0-9_.]+)*[ ]*\))?/
%ignore /[ \t\r\n]+/
"""


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def atom_name(token: str) -> str:
    """An atom without its spaces: `looked_up( order )` is `looked_up(order)`."""
    return "".join(token.split())


def atoms(text: str) -> tuple[str, ...]:
    """The atoms of an expression in order of first appearance.

    Raises:
        ExpressionError: the text does not parse.
    """
    tokens = _parse(text).scan_values(lambda value: isinstance(value, Token))
    return tuple(dict.fromkeys(atom_name(token) for token in tokens))


def compile_expression(text: str, names: Sequence[str]) -> Circuit:
    """Compile one expression; input i of the circuit is `names[i]`.

    Args:
        text: the expression.
        names: the atoms that may appear, in the order of the circuit's inputs.

    Returns:
        A circuit with len(names) inputs and one output.

    Raises:
        ExpressionError: the text does not parse (with line and column), an atom is not among
            `names`, or `names` repeats one.
    """
    return compile_expressions([text], names)


def compile_expressions(texts: Sequence[str], names: Sequence[str]) -> Circuit:
    """Compile several expressions over the same atoms, sharing equal sub-expressions.

    Returns:
        A circuit with len(names) inputs and one output per text.

    Raises:
        ExpressionError: as `compile_expression`.
    """
    inputs = {atom_name(name): i for i, name in enumerate(names)}
    if len(inputs) != len(names):
        raise ExpressionError(
            "a name appears twice among the inputs", where="expression", fix="give each once"
        )
    builder = CircuitBuilder(len(names))
    return builder.build([_emit(builder, _parse(text), text, inputs) for text in texts])


def _parse(text: str) -> Tree[Token]:
    try:
        tree: Tree[Token] = _parser().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    return tree


def _syntax_error(text: str, error: UnexpectedInput) -> ExpressionError:
    if isinstance(error, UnexpectedCharacters):
        found = f"unexpected character {error.char!r}"
    elif isinstance(error, UnexpectedToken) and error.token.type != "$END":
        found = f"unexpected {str(error.token)!r}"
    else:
        lines = text.split("\n")
        return ExpressionError(
            "the text ends too early",
            where=f"expression: line {len(lines)}, column {len(lines[-1]) + 1}",
            fix="write an atom, true, false, ! or ( there",
        )
    return ExpressionError(
        found,
        where=f"expression: line {error.line}, column {error.column}",
        fix="use atoms, true, false, ! & ^ | -> <-> and parentheses",
    )


def _emit(builder: CircuitBuilder, tree: Tree[Token], text: str, inputs: Mapping[str, int]) -> int:
    # Bottom up over a list, not by recursion: deep expressions must not reach Python's limit.
    slot_of: dict[int, int] = {}
    for node in tree.iter_subtrees():
        operands = [slot_of[id(child)] for child in node.children if isinstance(child, Tree)]
        match node.data:
            case "atom":
                slot = _atom_slot(node.children[0], text, inputs)
            case "true" | "false":
                slot = builder.const(node.data == "true")
            case "not_":
                slot = builder.not_(operands[0])
            case "and_":
                slot = builder.and_(*operands)
            case "xor":
                slot = builder.xor(*operands)
            case "or_":
                slot = builder.or_(*operands)
            case "implies":
                slot = builder.or_(builder.not_(operands[0]), operands[1])
            case _:  # iff
                slot = builder.not_(builder.xor(*operands))
        slot_of[id(node)] = slot
    return slot_of[id(tree)]


def _atom_slot(token: object, text: str, inputs: Mapping[str, int]) -> int:
    assert isinstance(token, Token)
    slot = inputs.get(atom_name(token))
    if slot is None:
        known = ", ".join(list(inputs)[:8]) or "none"
        raise ExpressionError(
            f"unknown atom {str(token)!r} in {text!r}",
            where=f"expression: line {token.line}, column {token.column}",
            fix=f"known atoms: {known}{', …' if len(inputs) > 8 else ''}",
        )
    return slot
