"""The batched circuits against a plain reading of the same expressions, call by call."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bb_domains.compiler import PlanMachine, PlanState
from bb_domains.schema import PlanSchema, parse_schema

FLUENTS = {"a": [], "b": [], "f": ["box"], "g": ["box"], "r": ["box", "jar"]}
ATOMS = ["a", "b", "f(x)", "g(x)", "r(x,y)"]

expressions = st.recursive(
    st.sampled_from([*ATOMS, "true", "false"]),
    lambda inner: st.one_of(
        inner.map(lambda e: f"!({e})"),
        st.tuples(inner, st.sampled_from("&|^"), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=5,
)
effects = st.lists(st.sampled_from(ATOMS), unique=True, max_size=3).flatmap(
    lambda chosen: st.tuples(
        *(st.sampled_from(["", "!"]).map(lambda s, e=e: s + e) for e in chosen)
    )
)


def tool(pre: str, effects: tuple[str, ...]) -> dict[str, Any]:
    args = {"type": "object", "properties": {"x": {}, "y": {}}, "required": ["x", "y"]}
    handles = {"x": {"object": "box"}, "y": {"object": "jar"}}
    return {"args": args, "handles": handles, "pre": pre, "effects": list(effects)}


@st.composite
def schemas(draw: st.DrawFn) -> PlanSchema:
    tools: dict[str, Any] = {
        f"t{i}": tool(draw(expressions), draw(effects)) for i in range(draw(st.integers(1, 4)))
    }
    tools["box"] = {"binds": {"object": "box"}, "effects": draw(st.sampled_from([[], ["f(self)"]]))}
    tools["jar"] = {"binds": {"object": "jar"}}
    never = draw(st.one_of(st.none(), expressions.map(lambda e: f"a & b & f(x) & ({e})")))
    invariants = [{"name": "i", "never": never, "for": {"x": "box", "y": "jar"}}] if never else []
    objects = {"box": {"slots": 2}, "jar": {"slots": 2}}
    rules = {"objects": objects, "fluents": FLUENTS, "invariants": invariants}
    return parse_schema({"domain": "d", "tools": tools, **rules})


class Reference:
    """Fluents as a set of names, expressions read by Python."""

    def __init__(self, schema: PlanSchema) -> None:
        self.schema = schema

    def admissible(
        self, facts: frozenset[str], counts: dict[str, int]
    ) -> dict[Any, frozenset[str]]:
        """By (tool, slots): the facts afterwards."""
        found = {}
        for name, declared in self.schema.tools.items():
            ranges = [range(counts[h.object]) for h in declared.handles.values()]
            for slots in itertools.product(*ranges):
                values = dict(zip(declared.handles, slots, strict=True))
                after_counts = dict(counts)
                if declared.binds:
                    kind = declared.binds.object
                    if counts[kind] >= self.schema.objects[kind].slots:
                        continue
                    values["self"] = counts[kind]
                    after_counts[kind] += 1
                if not self._true(declared.pre, values, facts):
                    continue
                after = self._after(declared.effects, values, facts)
                if not self._violated(after, after_counts):
                    found[name, tuple(values.values())] = after
        return found

    def _after(self, effects: Any, values: dict[str, int], facts: frozenset[str]) -> frozenset[str]:
        changed = set(facts)
        for effect in effects:
            atom = self._ground(effect.removeprefix("!"), values)
            (changed.discard if effect.startswith("!") else changed.add)(atom)
        return frozenset(changed)

    def _violated(self, facts: frozenset[str], counts: dict[str, int]) -> bool:
        return any(
            self._true(rule.never, {"x": x, "y": y}, facts)
            for rule in self.schema.invariants
            for x in range(counts["box"])
            for y in range(counts["jar"])
        )

    def _true(self, text: str, values: dict[str, int], facts: frozenset[str]) -> bool:
        def value(found: re.Match[str]) -> str:
            word = found.group()
            if word in ("true", "false"):
                return word.capitalize()
            return str(self._ground(word, values) in facts)

        python = re.sub(r"[a-z]+(\([a-z,]+\))?", value, text).replace("!", " not ")
        python = python.replace("&", " and ").replace("|", " or ").replace("^", " != ")
        return bool(eval(python))

    def _ground(self, atom: str, values: dict[str, int]) -> str:
        name, _, rest = atom.partition("(")
        params = rest.rstrip(")").split(",") if rest else []
        return f"{name}{[values[p] for p in params]}"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(), st.integers(0, 2**32))
def test_admissible_calls_agree_with_a_plain_reading(schema: PlanSchema, seed: int) -> None:
    machine, reference, rng = PlanMachine(schema), Reference(schema), random.Random(seed)
    state, facts = PlanState(), frozenset[str]()
    for _ in range(6):
        counts = {k: sum(h.object == k for h in state.handles) for k in schema.objects}
        expected = reference.admissible(facts, counts)
        lanes = {
            (machine.lanes[i].tool, tuple(machine.lanes[i].slots.values())): i
            for i in machine.allowed(state.bits)
        }
        assert set(lanes) == set(expected)
        if not lanes:
            return
        chosen = rng.choice(sorted(lanes))
        state, facts = machine.after(state, lanes[chosen]), expected[chosen]
        true = {n for i, n in enumerate(machine.layout.names) if state.bits >> i & 1}
        assert len(facts) == len([n for n in true if not n.startswith("bound")])
