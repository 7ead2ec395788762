"""How much of JSON Schema do the masks keep, do decodes end, and what do they cost the model?

Data: a sample of MaskBench [Geng et al., "JSONSchemaBench", arXiv 2501.10868], schemas with
labelled instances, and the function-calling data (`benchmarks.bfcl`). The labels were made by
validators to which a format that no standard knows says nothing, so here such formats are
annotations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bb_core.progress import track
from benchmarks.bfcl import CATEGORIES, Task, tasks
from benchmarks.frame import Context, Measured, UnavailableError, row

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from transformers import PreTrainedTokenizerBase

    from bb_domains.json_schema.rules import Order

BUDGET = 256
COMPACT = (",", ":")
_Values = Callable[[Context], Iterable[tuple[Any, Any]]]


@lru_cache(maxsize=1)
def _tokenizer() -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    from bb_nn.base import EMBEDDED

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_schemas", fix="bb base train")
    return AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)


def _wrapped() -> LLTokenizer:
    from bb_runtime.masks import wrap_tokenizer

    return wrap_tokenizer(_tokenizer())


def _data(context: Context, folder: str) -> Path:
    if context.data is None or not (context.data / folder).exists():
        raise UnavailableError(f"no {folder} data", where="plans_schemas", fix="give --data DIR")
    return context.data


def _labelled(context: Context) -> list[dict[str, Any]]:
    """Schemas with labelled instances: every eighth, or all."""
    path = _data(context, "maskbench") / "maskbench" / "sample.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:: 1 if context.full else 8]]


def _text(value: Any, separators: tuple[str, str] | None) -> str:
    return json.dumps(value, ensure_ascii=False, separators=separators)


def _raw(schema: Any) -> LLMatcher | None:
    """The matcher of llguidance's own compiler, None where it refuses the schema."""
    from llguidance import LLMatcher

    matcher = LLMatcher(_wrapped(), LLMatcher.grammar_from_json_schema(schema), log_level=0)
    return None if matcher.is_error() else matcher


def _accepts_raw(schema: Any, values: Sequence[Any]) -> list[bool] | None:
    matcher = _raw(schema)
    if matcher is None:
        return None
    found = []
    for value in values:
        one = matcher.deep_copy()
        tokens = _wrapped().tokenize_str(_text(value, None))
        found.append(one.consume_tokens(tokens) and one.is_accepting())
    return found


def _accepts(schema: Any, values: Sequence[Any], order: Order = "declared") -> list[bool] | None:
    """Whether our grammar and guard accept each value; None where the schema is refused by name."""
    from llguidance import LLMatcher

    from bb_runtime.errors import MaskError
    from bb_runtime.json_schema import schema_constraint

    try:
        grammar = schema_constraint(schema, "annotate", order).grammar
    except MaskError:
        return None
    matcher = LLMatcher(_wrapped(), LLMatcher.grammar_from_lark(grammar.lark), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    found = []
    for value in values:
        one, text = matcher.deep_copy(), _text(value, COMPACT)
        is_in = one.consume_tokens(_wrapped().tokenize_str(text)) and one.is_accepting()
        guard = grammar.guard
        found.append(is_in and (guard is None or guard.feed(text.encode()) is not None))
    return found


@lru_cache(maxsize=3)
def _judged(context: Context, order: Order | None) -> tuple[float, int]:
    """The share of schemas whose instances are all judged as labelled, and wrong acceptances.

    Ours with the properties in this order; llguidance's own compiler for None.
    """
    accepts = _accepts_raw if order is None else partial(_accepts, order=order)
    right = wrong = 0
    entries = _labelled(context)
    for entry in track(entries, f"schemas, {order or 'llguidance'}"):
        labels = [test["valid"] for test in entry["tests"]]
        found = accepts(entry["schema"], [test["data"] for test in entry["tests"]])
        right += found == labels
        wrong += sum(a and not b for a, b in zip(found or (), labels, strict=False))
    return right / len(entries), wrong


@row("plans.schemas_kept", peer_name="limit", unit="of schemas", target=1.0)
def schemas_kept(context: Context) -> Measured:
    """MaskBench schemas whose instances are all accepted and refused as labelled."""
    return Measured([_judged(context, "declared")[0]], [0.92])


@row("plans.schemas_kept_any_order", peer_name="limit", unit="of schemas", target=1.0)
def schemas_kept_any_order(context: Context) -> Measured:
    """The same where declared properties may stand in any order, as labelled instances do."""
    return Measured([_judged(context, "any")[0]], [0.92])


@row("plans.schemas_kept_llguidance", peer_name="llguidance", unit="of schemas", target=1.09)
def schemas_kept_llguidance(context: Context) -> Measured:
    """The same against llguidance's own compiler of JSON Schema."""
    return Measured([_judged(context, "declared")[0]], [_judged(context, None)[0]])


@row("plans.schemas_wrong", peer_name="limit", unit="instances", target=1.0, better="less")
def schemas_wrong(context: Context) -> Measured:
    """MaskBench instances that are accepted though labelled invalid, in either order."""
    return Measured([_judged(context, "declared")[1] + _judged(context, "any")[1]], [0])


def _tasks(context: Context) -> Iterable[Task]:
    """Tasks of all categories: every fortieth, or all."""
    data = _data(context, "bfcl")
    step = 1 if context.full else 40
    return chain.from_iterable(list(tasks(data, name))[::step] for name in CATEGORIES)


def _asked(context: Context) -> Iterator[tuple[str, Any]]:
    """Requests and schemas: one to four calls of a task's functions, and functions one by one."""
    for task in _tasks(context):
        yield task.request, replace(task, is_parallel=True).schema
        for function in task.functions[: 4 if context.full else 1]:
            yield task.request, replace(task, functions=(function,), is_parallel=False).schema


@lru_cache(maxsize=1)
def _decodes(context: Context) -> tuple[float, float]:
    """The share of decodes that end and validate, and model calls per token of those."""
    import torch

    from bb_nn.base import EMBEDDED, load_base, quiet_transformers
    from bb_runtime.errors import MaskError
    from bb_runtime.json_decode import decode_json

    if not (EMBEDDED / "tokenizer.json").exists():
        raise UnavailableError("no embedded base rail", where="plans_schemas", fix="bb base train")
    quiet_transformers()
    model, tokenizer = load_base()
    torch.set_num_threads(1)
    asked = list(_asked(context))
    ended = calls = tokens = 0
    for request, schema in track(asked, "decodes"):
        prompt = request[:400] + "\n"
        try:
            answer = decode_json(model, tokenizer, prompt, schema, max_new_tokens=BUDGET)
        except MaskError:
            continue
        ended, calls = ended + 1, calls + answer.forward_calls
        tokens += answer.tokens
    return ended / len(asked), calls / tokens


@row("plans.calls_finished", peer_name="limit", unit="of decodes", target=1.0)
def calls_finished(context: Context) -> Measured:
    """Function calls by the untuned base rail that end within 256 tokens and validate.

    A list that is refused counts as unfinished, though its error is typed.
    """
    return Measured([_decodes(context)[0]], [1.0])


@row("plans.calls_decoded", peer_name="limit", unit="calls/token", target=1.0, better="less")
def calls_decoded(context: Context) -> Measured:
    """Calls of the model per token that it wrote then."""
    return Measured([_decodes(context)[1]], [0.70])


def _forced_share(matcher: LLMatcher, tokens: Sequence[int]) -> int | None:
    """Calls of a model that writes these tokens where forced ones cost none; None if refused."""
    calls = at = 0
    while at < len(tokens):
        forced = matcher.compute_ff_tokens()
        same = 0
        for one, other in zip(forced, tokens[at:], strict=False):
            if one != other:
                return None
            same += 1
        step = list(tokens[at : at + max(same, 1)])
        calls += not same
        if not matcher.consume_tokens(step):
            return None
        at += len(step)
    return calls


def _ordered(task: Task) -> Any:
    """The calls of the ground truth, with their arguments in declared order."""
    declared = {name: list(schema.get("properties", ())) for name, schema in task.functions}
    calls = []
    for call in task.calls[:4]:
        names = [name for name in declared.get(call["name"], ()) if name in call["arguments"]]
        arguments = {name: call["arguments"][name] for name in names}
        calls.append({"name": call["name"], "arguments": arguments})
    return calls if task.is_parallel else calls[0]


def _compiled(schema: Any, order: Order = "declared") -> LLMatcher | None:
    """The matcher of our grammar, None where the schema is refused."""
    from llguidance import LLMatcher

    from bb_runtime.errors import MaskError
    from bb_runtime.json_schema import schema_constraint

    try:
        lark = schema_constraint(schema, "annotate", order).grammar.lark
    except MaskError:
        return None
    return LLMatcher(_wrapped(), LLMatcher.grammar_from_lark(lark), log_level=0)


def _calls(context: Context) -> Iterator[tuple[Any, Any]]:
    """Schemas and calls of the function-calling data."""
    return ((task.schema, _ordered(task)) for task in _tasks(context) if task.calls)


def _instances(context: Context) -> Iterator[tuple[Any, Any]]:
    """Schemas and valid instances of MaskBench."""
    for entry in _labelled(context):
        yield from ((entry["schema"], t["data"]) for t in entry["tests"] if t["valid"])


@lru_cache(maxsize=2)
def _calls_per_token(context: Context, values: _Values) -> tuple[float, float]:
    """Model calls per token of values, the mean over values: under our grammar, llguidance's.

    Each side writes JSON its own way: ours compactly, llguidance, as it is by default, with blanks.
    Values that one of them refuses, or whose forced tokens are not the tokenizer's, are left out.
    """
    shares: list[tuple[float, float]] = []
    pairs = list(values(context))
    for schema, value in track(pairs, "values"):
        ours, raw = _compiled(schema), _raw(schema)
        if ours is None or raw is None:
            continue
        found = []
        for matcher, separators in ((ours, COMPACT), (raw, None)):
            tokens = _wrapped().tokenize_str(_text(value, separators))
            calls = _forced_share(matcher, tokens)
            found.append(None if calls is None else calls / len(tokens))
        if found[0] is not None and found[1] is not None:
            shares.append((found[0], found[1]))
    ours_mean, raw_mean = (fmean(side) for side in zip(*shares, strict=True))
    return ours_mean, raw_mean


@row("plans.model_calls", peer_name="limit", unit="calls/token", target=1.0, better="less")
def model_calls(context: Context) -> Measured:
    """Calls of the model per token of function calls, forced tokens free."""
    return Measured([_calls_per_token(context, _calls)[0]], [0.70])


@row(
    "plans.model_calls_llguidance",
    peer_name="llguidance",
    unit="calls/token",
    target=1.1,
    better="less",
)
def model_calls_llguidance(context: Context) -> Measured:
    """The same against llguidance's own compiler with its flexible whitespace."""
    ours, peer = _calls_per_token(context, _calls)
    return Measured([ours], [peer])


@row("plans.instance_calls", peer_name="limit", unit="calls/token", target=1.0, better="less")
def instance_calls(context: Context) -> Measured:
    """Calls of the model per token of MaskBench's valid instances, most of which is free text."""
    return Measured([_calls_per_token(context, _instances)[0]], [0.70])


@row(
    "plans.instance_calls_llguidance",
    peer_name="llguidance",
    unit="calls/token",
    target=1.1,
    better="less",
)
def instance_calls_llguidance(context: Context) -> Measured:
    """The same against llguidance's own compiler with its flexible whitespace."""
    ours, peer = _calls_per_token(context, _instances)
    return Measured([ours], [peer])
