"""A plan schema as a simulator: what its tools do, in any state of its fluents.

For trying what was learned against what is declared, and for learning by questions where there is a
declaration but no service. Guards and invariants are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from bb_domains.fluents import SELF, Atom
from bb_domains.logic import CompiledTool, compile_tool
from bb_domains.schema import PlanSchema
from bem_kernel.engines.engine import evaluate
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.learning.action_traces import Attempt


@dataclass(frozen=True)
class DeclaredTools:
    """Tries tools as a schema declares them; a simulator for action models.

    Attributes:
        schema: declares them.

    Raises:
        BBError: when first used, an expression means nothing.
    """

    schema: PlanSchema

    @cached_property
    def tools(self) -> Mapping[str, CompiledTool]:
        """The logic of each tool."""
        return {name: compile_tool(self.schema, name) for name in self.schema.tools}

    def facts(self, tool: str) -> tuple[str, ...]:
        """The fluents that can be said of a call's objects."""
        handles = self.schema.tools[tool].handles
        kinds = {arg: handle.object for arg, handle in handles.items()}
        return tuple(map(str, self._atoms(kinds)))

    def attempt(self, action: str, before: Mapping[str, bool]) -> Attempt:
        """What a call does where these facts hold."""
        tool = self.tools[action]
        ok = self._holds(tool, before)
        changes = {str(effect.atom): effect.value for effect in tool.effects}
        after = {**before, **changes} if ok else {}
        return Attempt(action, dict(before), ok, after, dict(tool.objects))

    def _holds(self, tool: CompiledTool, before: Mapping[str, bool]) -> bool:
        row = np.array([[before[str(atom)] for atom in tool.pre_atoms]], dtype=np.bool_)
        return bool(unpack_bits(evaluate(tool.pre, pack_bits(row)), 1)[0, 0])

    def _atoms(self, kinds: Mapping[str, str]) -> Iterator[Atom]:
        known = {arg: kind for arg, kind in kinds.items() if arg != SELF}
        for fluent, types in self.schema.fluents.items():
            for chosen in permutations(known, len(types)):
                if tuple(known[arg] for arg in chosen) == tuple(types):
                    yield Atom(fluent, chosen)
