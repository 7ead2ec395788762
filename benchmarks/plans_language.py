"""Does the mask write exactly the plans that the checker passes, where all can be enumerated?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.frame import Context, Measured, row
from benchmarks.plans_checker import BUDGET, load_tokenizer, passes

if TYPE_CHECKING:
    from bb_domains.domain import Domain


def _handle(*names: str) -> dict[str, Any]:
    """Arguments that are handles."""
    return {"type": "object", "properties": {n: {} for n in names}, "required": list(names)}


def _boxes(max_steps: int) -> dict[str, Any]:
    """Boxes of two sizes that are found, opened and joined."""
    size = {"enum": ["big", "small"]}
    one_size = {"type": "object", "properties": {"size": size}, "required": ["size"]}
    return {
        "domain": "boxes",
        "limits": {"max_steps": max_steps},
        "objects": {"box": {"slots": 2}},
        "fluents": {"open": ["box"], "joined": ["box", "box"], "lit": []},
        "tools": {
            "light": {"pre": "!lit", "effects": ["lit"]},
            "find": {"args": one_size, "binds": {"object": "box", "key": "size"}},
            "open": {
                "args": _handle("box"),
                "handles": {"box": {"object": "box"}},
                "pre": "!open(box)",
                "effects": ["open(box)"],
            },
            "join": {
                "args": _handle("one", "two"),
                "handles": {"one": {"object": "box"}, "two": {"object": "box"}},
                "pre": "lit & !joined(one,two)",
                "effects": ["joined(one,two)"],
            },
        },
        "invariants": [
            {
                "name": "closed",
                "never": "joined(a,b) & open(b)",
                "for": {"a": "box", "b": "box"},
            }
        ],
        "graph": {"every_handle_used": True},
    }


def _cups(max_steps: int) -> dict[str, Any]:
    """Cups that are taken, filled, heated and emptied: facts that end, and a choice of grounds."""
    cup, level = {"cup": {"object": "cup"}}, {"type": "integer", "minimum": 1, "maximum": 2}
    filled = _handle("cup")
    filled["properties"]["level"] = level
    return {
        "domain": "cups",
        "limits": {"max_steps": max_steps},
        "objects": {"cup": {"slots": 2}},
        "fluents": {"full": ["cup"], "hot": ["cup"], "clean": []},
        "tools": {
            "wash": {"pre": "!clean", "effects": ["clean"]},
            "take": {"pre": "clean", "binds": {"object": "cup"}, "effects": ["!clean"]},
            "fill": {
                "args": filled,
                "handles": cup,
                "pre": "!full(cup) | hot(cup)",
                "effects": ["full(cup)", "!hot(cup)"],
            },
            "heat": {
                "args": _handle("cup"),
                "handles": cup,
                "pre": "full(cup)",
                "effects": ["hot(cup)"],
            },
            "drink": {
                "args": _handle("cup"),
                "handles": cup,
                "pre": "full(cup) & !(clean & hot(cup))",
                "effects": ["!full(cup)", "!hot(cup)"],
            },
        },
        "graph": {"min_steps": 2},
    }


def _candidates(domain: Domain) -> Iterator[str]:
    """Every sequence of calls with every value and every reference, admissible or not."""
    from bb_core.plan import Plan, Step, plan_text, step_id

    def calls(position: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for called, tool in domain.schema.tools.items():
            choices = []
            for name, part in tool.properties.items():
                if name in tool.handles:
                    path = tool.handles[name].path
                    some: list[Any] = [f"${step_id(i)}.{path}" for i in range(position)]
                else:
                    some = part.get("enum") or [*range(part["minimum"], part["maximum"] + 1)]
                optional = [] if name in tool.plan_args()["required"] else [None]
                choices.append([(name, value) for value in (*some, *optional)])
            for chosen in itertools.product(*choices):
                yield called, {name: value for name, value in chosen if value is not None}

    for n_steps in range(domain.schema.limits.max_steps + 1):
        for sequence in itertools.product(*(list(calls(i)) for i in range(n_steps))):
            steps = (Step(step_id(i), tool, args) for i, (tool, args) in enumerate(sequence))
            yield plan_text(Plan(tuple(steps)))


@row("plans.mask_language", peer_name="the checker's", unit="plans", target=1.0)
def mask_language(context: Context) -> Measured:
    """The texts that the mask writes are those that the checker passes, all of them.

    Two small schemas, of which every sequence of calls up to a length is tried.
    """
    from bb_domains.domain import make_domain
    from bb_domains.schema import parse_schema

    same = union = 0
    longest = 5 if context.full else 4
    for schema in (_boxes(longest), _cups(longest)):
        domain = make_domain(parse_schema(schema))
        written = _written(domain)
        checked = {text for text in _candidates(domain) if passes(domain, text)}
        assert checked
        same, union = same + len(written & checked), union + len(written | checked)
    return Measured([same], [union])


def _written(domain: Domain) -> set[str]:
    """All texts that the mask can write, by every way to spell them."""
    import numpy as np

    from bb_runtime.plan_mask import PlanLanguage

    language = PlanLanguage(load_tokenizer(), domain, BUDGET)
    written: set[str] = set()
    seen = {b""}
    rows = [(language.start(), b"")]
    while rows:
        state, text = rows.pop()
        words = np.zeros(language.n_words, dtype=np.int32)
        state.fill(words)
        allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        for token in allowed.tolist():
            if token in language.eos_ids:
                written.add(text.decode())
                continue
            after, twin = text + language.token_bytes[token], state.fork()
            assert twin.consume(token), f"{after!r} was allowed"
            if after not in seen:
                seen.add(after)
                rows.append((twin, after))
    return written
