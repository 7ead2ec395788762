"""Calls beside a plan's steps: to take one back (`undo:`), or to find out about one (`probe:`).

The domain declares them, so a plan's certificate, which is bound to the domain, covers them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bb_domains.errors import SchemaError
from bb_domains.guards import Field, Guard, Value, holds, operand_value, parse_guard, parse_operand
from bb_domains.schema import Probe, Tool, Undo

RESULT = "result"


@dataclass(frozen=True)
class Aside:
    """A declared call beside the steps.

    Attributes:
        tool: what is called.
        args: where its arguments come from.
        happened: over the step's facts and the answer as `result`; None for an undo.
    """

    tool: str
    args: Mapping[str, Value | Field]
    happened: Guard | None = None

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the call.

        Args:
            facts: by argument of the step, its value, or the result behind the handle; and the
                step's own `result`, for an undo.

        Raises:
            ConditionError: a fact is missing.
        """
        return {name: operand_value(operand, facts) for name, operand in self.args.items()}

    def says_yes(self, facts: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
        """Whether the answer of a probe says that the step happened.

        Raises:
            ConditionError: a fact is missing, or two values cannot be compared.
        """
        assert self.happened is not None
        return holds(self.happened, {**facts, RESULT: answer})


def compile_aside(tool: Tool, declared: Undo | Probe, where: str) -> Aside:
    """Compile the undo or the probe of a tool.

    Raises:
        ConditionError: an operand does not parse.
        SchemaError: an argument of the tool is called `result`.
    """
    if RESULT in tool.properties:
        raise SchemaError(
            f"argument {RESULT!r} would hide what is answered", where=where, fix="rename it"
        )
    probe = isinstance(declared, Probe)
    known = (*tool.properties, RESULT)
    names = known[:-1] if probe else known
    args = {
        name: parse_operand(value, names, f"{where}.args.{name}")
        if isinstance(value, str)
        else Value(value)
        for name, value in declared.args.items()
    }
    happened = None
    if isinstance(declared, Probe):
        happened = parse_guard(declared.happened, known, f"{where}.happened")
    return Aside(declared.tool, args, happened)
