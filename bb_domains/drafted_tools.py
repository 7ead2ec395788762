"""What a learned action model says in the words of a plan schema: preconditions and guards.

A fact of the vocabulary is either about what was done, which is a fluent, or about an object's
fields and the call's arguments, which a guard compares just before the call. What neither can say
is kept, in words. That no call may be repeated is said more strictly: once for each object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bb_domains.observations import REPEATED
from bb_domains.vocabulary import Vocabulary, word
from bem_kernel.learning.action_model import ActionModel
from bem_kernel.learning.explanation import explain_failures
from bem_kernel.learning.version_space import Clause


class Support(StrEnum):
    """Why a clause is believed.

    NEEDED: some failure has no other explanation.
    LIKELY: it is among the fewest that explain all failures.
    CAREFUL: it held in every success, and no failure speaks for or against it.
    """

    NEEDED = "needed"
    LIKELY = "likely"
    CAREFUL = "careful"


class Form(StrEnum):
    """Where a clause goes."""

    PRE = "pre"
    GUARD = "guard"
    UNSAID = "unsaid"


@dataclass(frozen=True)
class Condition:
    """One clause of a precondition.

    Attributes:
        text: as an expression, a guard, or the kernel's own words.
        form: which of these.
        support: why it is believed.
        fluents: what it speaks of, if it is an expression.
    """

    text: str
    form: Form
    support: Support
    fluents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sayings:
    """How facts are said.

    Attributes:
        vocabulary: what the facts speak about.
        originals: the value of each word, by field or argument.
    """

    vocabulary: Vocabulary
    originals: Mapping[tuple[str, str], Any]

    def conditions(self, model: ActionModel) -> list[Condition]:
        """The clauses of a model's careful precondition, those needed first."""
        likely = set(explain_failures(model.pre).clauses)
        order = [Support.NEEDED, Support.LIKELY, Support.CAREFUL]
        found = []
        for i in model.pre.prime:
            clause = model.pre.clauses[i]
            support = Support.NEEDED if i in model.pre.needed else Support.CAREFUL
            if support is Support.CAREFUL and clause in likely:
                support = Support.LIKELY
            found.append(self._condition(model, clause, support))
        return sorted(found, key=lambda each: order.index(each.support))

    def is_fluent(self, fact: str) -> bool:
        """Whether a fact says that a tool has succeeded."""
        return "." not in fact

    def _condition(self, model: ActionModel, clause: Clause, support: Support) -> Condition:
        literals = [(model.facts[abs(x) - 1], x > 0) for x in clause]
        own = " | ".join(map(model.literal, clause))
        objects = self.vocabulary.objects[model.action]
        if literals == [(REPEATED, False)] and model.action not in self.vocabulary.finds:
            name = self.vocabulary.name(model.action)
            return Condition(f"!{name}({','.join(objects)})", Form.PRE, support, (name,))
        if all(self.is_fluent(fact) for fact, _ in literals):
            text = f"({own})" if len(clause) > 1 else own
            names = tuple(fact.partition("(")[0] for fact, _ in literals)
            return Condition(text, Form.PRE, support, names)
        guards = [self._guard(model, fact, value) for fact, value in literals]
        if all(guards):
            return Condition(" | ".join(filter(None, guards)), Form.GUARD, support)
        return Condition(own, Form.UNSAID, support)

    def _guard(self, model: ActionModel, fact: str, value: bool) -> str | None:
        """A fact as a comparison; None if it cannot be said as one."""
        if fact == REPEATED or self.is_fluent(fact):
            return None
        name, _, rest = fact.partition("(")
        subject, relation = name.split(".", 1)
        arg = rest.removesuffix(")")
        where = f"{self._record(model, arg)}." if arg else ""
        match relation.split("."):
            case ["is", "unseen"]:
                return None
            case ["is", "known"]:
                return f"{where}{subject} {'!=' if value else '=='} null"
            case ["at_most", number]:
                if value:
                    return f"{subject} <= {where}{number}"
                above = f"{subject} > {where}{number}"
                nullable = number in self.vocabulary.nullable.get(model.parameters[arg], ())
                return f"{where}{number} == null | {above}" if nullable else above
            case [said] if (subject, said) in self.originals:
                shown = json.dumps(self.originals[subject, said])
                return f"{where}{subject} {'==' if value else '!='} {shown}"
        return None

    def _record(self, model: ActionModel, arg: str) -> str:
        """Where the fields of the object behind an argument are."""
        kind = model.parameters[arg]
        paths = {found.path for found in self.vocabulary.finds.values() if found.kind == kind}
        above = min(paths).rpartition(".")[0] if paths else ""
        return f"{arg}.{above}" if above else arg


def originals_of(values: Sequence[tuple[str, Any]]) -> dict[tuple[str, str], Any]:
    """The value behind each word, where only one value has it.

    Args:
        values: names of fields or arguments, and a value.
    """
    found: dict[tuple[str, str], Any] = {}
    twice = set()
    for name, value in values:
        key = (word(name), word(value))
        if found.setdefault(key, value) != value:
            twice.add(key)
    return {key: value for key, value in found.items() if key not in twice}
