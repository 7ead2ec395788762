"""The exception tree of the domains.

BBError
└── DomainError
    ├── SchemaError        a plan schema is not of its shape, or contradicts itself
    ├── ConditionError     a precondition, effect, invariant or guard does not parse
    ├── LowerError         a JSON Schema says something the grammar cannot keep
    ├── OpenApiError       an OpenAPI document cannot be imported
    ├── ProfileError       a grammar says something that mask and parser cannot share
    │   └── UnknownStart   it has no rule of the name that a text is to be
    ├── PlanGrammarError   a text is not a sentence of the plan grammar
    └── Inadmissible       a step may not be taken in the given plan state
"""

from __future__ import annotations

from bb_core.errors import BBError


class DomainError(BBError):
    """Anything a domain refuses."""


class SchemaError(DomainError):
    """A plan schema is not of its shape, or contradicts itself."""


class ConditionError(DomainError):
    """A precondition, effect, invariant or guard does not parse, or names something unknown."""


class LowerError(DomainError):
    """A JSON Schema says something the grammar cannot keep; `where` is its JSON pointer."""


class OpenApiError(DomainError):
    """An OpenAPI document cannot be imported; `where` is the file and JSON pointer."""


class ProfileError(DomainError):
    """A grammar says something that the mask and the offline parser cannot both mean."""


class UnknownStart(ProfileError):  # noqa: N818  what is unknown, not that it went wrong
    """A grammar has no rule of the name that a text is to be."""


class PlanGrammarError(DomainError):
    """A text is not a sentence of the plan grammar."""


class Inadmissible(DomainError):  # noqa: N818  what happened, not that it went wrong
    """A step may not be taken in the given plan state.

    Attributes:
        step_id: the step.
        rule: the rule it breaks.
        repair: the nearest thing that would be admissible; empty if none was found.
    """

    def __init__(self, step_id: str, rule: str, repair: str = "") -> None:
        super().__init__(rule, where=f"step {step_id}", fix=repair)
        self.step_id = step_id
        self.rule = rule
        self.repair = repair
