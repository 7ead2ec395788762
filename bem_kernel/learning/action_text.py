"""Action models as text: expressions, and a planning domain in PDDL 2.1.

What PDDL cannot say is in comments: facts that are about the call itself (its arguments, whether it
is repeated), which whoever makes the call has to set, and effects that are not foreseen everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bem_kernel.learning.action_model import ActionModel, Effect
from bem_kernel.learning.version_space import Clause


def expression(model: ActionModel) -> str:
    """The careful precondition as an expression: `seen(order) & !refunded(order)`."""
    parts = [" | ".join(map(model.literal, clause)) for clause in model.precondition]
    return " & ".join(f"({part})" if "|" in part else part for part in parts) or "true"


def effect_text(model: ActionModel, effect: Effect) -> str:
    """An effect, with its condition if it has one: `priority.high(order) if level.high`."""
    text = ("" if effect.value else "!") + effect.fact
    if effect.when is None:
        return text
    if effect.when.size == 0:
        return f"{text} sometimes"
    ways = [" & ".join(map(model.literal, each)) for each in effect.when.conjunctions]
    return f"{text} if {' and '.join(ways)}"


def pddl(name: str, models: Iterable[ActionModel]) -> str:
    """A planning domain of some actions, with their careful preconditions."""
    kept = list(models)
    types = sorted({kind for model in kept for kind in model.parameters.values()})
    predicates = dict.fromkeys(
        _predicate(fact, model)
        for model in kept
        for fact in (*model.facts, *(effect.fact for effect in model.effects))
    )
    lines = [
        f"(define (domain {_word(name)})",
        "  (:requirements :strips :typing :negative-preconditions :disjunctive-preconditions",
        "    :conditional-effects)",
    ]
    if types:
        lines.append(f"  (:types {' '.join(map(_word, types))})")
    lines += ["  (:predicates", *(f"    {each}" for each in predicates)]
    lines[-1] += ")"
    for model in kept:
        lines += ["", *_action(model)]
    return "\n".join(lines) + ")\n"


def _action(model: ActionModel) -> list[str]:
    parameters = " ".join(f"?{_word(n)} - {_word(k)}" for n, k in model.parameters.items())
    lines = [f"  ; from {model.successes} successes and {model.failures} failures"]
    if model.of_call:
        lines.append(f"  ; set by the caller: {' '.join(map(_atom, model.of_call))}")
    lines += [f"  (:action {_word(model.action)}", f"    :parameters ({parameters})"]
    clauses = [_clause(model, clause, "or") for clause in model.precondition]
    lines.append(_conjunction("precondition", clauses))
    foreseen = [effect for effect in model.effects if effect.when is None or effect.when.size]
    lines.append(_conjunction("effect", [_effect(model, effect) for effect in foreseen]) + ")")
    unforeseen = [effect for effect in model.effects if effect not in foreseen]
    lines += [f"  ; not foreseen: {_signed(effect.fact, effect.value)}" for effect in unforeseen]
    return lines


def _conjunction(key: str, parts: list[str]) -> str:
    return "\n".join([f"    :{key} (and", *(f"      {part}" for part in parts)]) + ")"


def _effect(model: ActionModel, effect: Effect) -> str:
    change = _signed(effect.fact, effect.value)
    if effect.when is None:
        return change
    literals = tuple(dict.fromkeys(x for each in effect.when.conjunctions for x in each))
    return f"(when {_clause(model, literals, 'and')} {change})"


def _clause(model: ActionModel, literals: Clause, word: str) -> str:
    parts = [_signed(model.facts[abs(each) - 1], each > 0) for each in literals]
    return parts[0] if len(parts) == 1 else f"({word} {' '.join(parts)})"


def _signed(fact: str, value: bool) -> str:
    return _atom(fact) if value else f"(not {_atom(fact)})"


def _atom(fact: str) -> str:
    name, arguments = _parts(fact)
    return f"({' '.join([_word(name), *(f'?{_word(each)}' for each in arguments)])})"


def _predicate(fact: str, model: ActionModel) -> str:
    name, arguments = _parts(fact)
    kinds = [_word(model.parameters.get(each, "object")) for each in arguments]
    typed = [f"?x{i} - {kind}" for i, kind in enumerate(kinds)]
    return f"({' '.join([_word(name), *typed])})"


def _parts(fact: str) -> tuple[str, tuple[str, ...]]:
    name, _, rest = fact.partition("(")
    return name, tuple(rest[:-1].split(",")) if rest else ()


def _word(name: str) -> str:
    """A name as PDDL has them: letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)
