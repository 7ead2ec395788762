"""The plan schema: what `plan_schema.yaml` may say, and how it is read and written.

    domain, version, service, limits          who, where, how long
    objects, fluents                          what a plan state knows
    tools                                     arguments, preconditions, effects, guards
    invariants, graph                         what must never hold, what a whole plan must look like

`parse_schema` and `load_schema` are the only ways to make a `PlanSchema`; what they return is of
its shape and refers to declared names only. Whether its expressions and argument schemas mean
something is found out by the compiler and the grammar (`bb domain check`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, ValidationError

from bb_domains.errors import SchemaError
from bb_domains.marks import Marked, Path_, read_marked

IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_HEADER = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.1
_HTTP_HEADERS = (
    "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
"""Say where a request goes and where it ends, or what it is a repetition of."""

_EMPTY_ARGS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class _Strict(BaseModel):
    """Unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Bearer(_Strict):
    """Which tool's result holds the bearer token that later calls send, and in which field."""

    tool: str
    field: str


class Service(_Strict):
    """Where the tools live. Adapters reach only `hosts` (host or host:port).

    What is not written as an address must be a public one, or lie in `networks` (10.0.0.0/8).
    """

    base_url: str = Field(pattern=r"^https?://[^/?#]+[^?#]*$")
    hosts: tuple[str, ...] = Field(min_length=1)
    networks: tuple[IPvAnyNetwork, ...] = ()
    bearer: Bearer | None = None


class Limits(_Strict):
    """Bounds that keep every plan text finite.

    Attributes:
        max_steps: steps of a plan.
        max_string: characters of a string that declares no `maxLength`, and of any longer one.
        max_items: items of an array.
        max_digits: digits before the decimal point of a number without a narrower range.
        at_once: calls under way at a time; above 1, steps on different objects run together.
        max_cost: what the steps of a plan may cost together; None for any cost.
    """

    max_steps: int = Field(default=14, ge=1, le=26)
    max_string: int = Field(default=48, ge=1, le=512)
    max_items: int = Field(default=4, ge=1, le=32)
    max_digits: int = Field(default=9, ge=1, le=15)
    at_once: int = Field(default=1, ge=1, le=16)
    max_cost: int | None = Field(default=None, ge=0, le=1_000_000_000)


class ObjectType(_Strict):
    """A kind of thing that steps bind: at most `slots` of it in one plan."""

    slots: int = Field(ge=1, le=16)


class Operation(_Strict):
    """The HTTP operation behind a tool. `body` says how arguments placed in the body are sent."""

    method: Literal["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"]
    path: str = Field(pattern=r"^/")
    body: Literal["json", "form", "binary"] | None = None


Location = Literal["path", "query", "header", "body"]


class Place(_Strict):
    """Where an argument goes: `location` (written `in`), under which name, or as the `whole` body.

    In YAML a bare `path` stands for `{in: path}`; a missing name is the argument's own.
    """

    location: Location = Field(alias="in")
    name: str = ""
    whole: bool = False


def _full_place(value: Any) -> Any:
    return {"in": value} if isinstance(value, str) else value


_PlaceField = Annotated[
    Place, BeforeValidator(_full_place, json_schema_input_type=Place | Location)
]


class Binds(_Strict):
    """The step's result becomes a handle to an object; `key` is the argument that identifies it."""

    object: str
    key: str | None = None


class Handle(_Strict):
    """The argument is a reference `"$step.path"` to an object bound by an earlier step."""

    object: str
    path: str = Field(default="id", pattern=rf"^{IDENTIFIER}(\.{IDENTIFIER})*$")


class Undo(_Strict):
    """The call that takes a step back, should the plan fail later.

    A string among `args` is an operand as in guards: `order.city`, what was looked up before;
    `result.id`, what the step answered; `'"text"'`, a constant. Other values are themselves.
    """

    tool: str
    args: dict[str, Any] = {}


class Probe(_Strict):
    """The read that tells whether a step without an answer happened; `args` as in `undo`.

    `happened` is a guard in which `result` is what the probe answered.
    """

    tool: str
    args: dict[str, Any] = {}
    happened: str


class Tool(_Strict):
    """One tool. `args` is a JSON Schema whose order of properties is the order in plan texts.

    `effect: session` changes nothing beyond the session with the service, such as a login: it is
    called again, like a read, when a run is resumed. `timeout_s` is for each call; one without an
    answer, or refused for the moment, is made anew up to `retries` times if that is safe. `cost` is
    what a step of it takes from `limits.max_cost`, in whole units of the domain's choice; retries,
    probes and undos take nothing.
    """

    description: str = ""
    operation: Operation | None = None
    args: dict[str, Any] = Field(default_factory=lambda: dict(_EMPTY_ARGS))
    places: dict[str, _PlaceField] = {}
    effect: Literal["read", "session", "write"] = "write"
    idempotent: bool = False
    timeout_s: float = Field(default=10.0, gt=0.0, le=3600.0)
    retries: int = Field(default=0, ge=0, le=10)
    undo: Undo | None = None
    probe: Probe | None = None
    cost: int = Field(default=1, ge=0, le=1_000_000)
    binds: Binds | None = None
    handles: dict[str, Handle] = {}
    pre: str = "true"
    effects: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    secrets: dict[str, str] = {}
    private: tuple[str, ...] = ()

    @property
    def properties(self) -> dict[str, Any]:
        """Schemas of the arguments by name, in plan order."""
        found: dict[str, Any] = self.args.get("properties", {})
        return found

    def place(self, arg: str) -> Place:
        """Where `arg` goes, its wire name filled in."""
        place = self.places[arg]
        return place if place.name else place.model_copy(update={"name": arg})

    def plan_args(self) -> dict[str, Any]:
        """JSON Schema of the arguments as a plan writes them: handles are reference strings."""
        written = dict(self.properties)
        for arg, handle in self.handles.items():
            path = handle.path.replace(".", r"\.")
            written[arg] = {"type": "string", "pattern": rf"^\$[a-z]\.{path}$"}
        required = [a for a in written if a in self.args.get("required", ()) or a in self.handles]
        return {**self.args, "properties": written, "required": required}


class Invariant(_Strict):
    """`never` must not hold for any bound objects, each another, that `for` ranges over."""

    name: str
    never: str
    objects: dict[str, str] = Field(default={}, alias="for")


class Graph(_Strict):
    """Rules about the plan as a whole.

    Attributes:
        every_handle_used: each object that is bound is given to a later step.
        min_steps: fewest steps of a plan.
        parallel: steps that commute may run at the same time; if not, in the order written.
    """

    every_handle_used: bool = False
    min_steps: int = Field(default=1, ge=0, le=26)
    parallel: bool = True


PLAN_CHANNEL = "plan"


def _spelt_off(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as false."""
    return "off" if value is False else value


class Channel(_Strict):
    """A kind of text that a domain writes, besides its plans.

    Attributes:
        mode: `hard` forbids tokens that leave the grammar, `soft` makes them dearer.
        grammar: a .lark or .peg file in the domain's folder; none is needed for `off`.
        start: its start rule.
        weight: nats that a token outside the grammar costs in a soft channel.
    """

    mode: Annotated[Literal["hard", "soft", "off"], BeforeValidator(_spelt_off)]
    grammar: str = Field(default="", pattern=r"^([A-Za-z0-9_-]+\.(lark|peg))?$")
    start: str = "start"
    weight: float = Field(default=2.0, gt=0.0, le=100.0)


class PlanSchema(_Strict):
    """Everything a domain declares."""

    domain: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(default=1, ge=1)
    service: Service | None = None
    limits: Limits = Limits()
    objects: dict[str, ObjectType] = {}
    fluents: dict[str, tuple[str, ...]] = {}
    tools: dict[str, Tool] = Field(min_length=1)
    invariants: tuple[Invariant, ...] = ()
    graph: Graph = Graph()
    channels: dict[str, Channel] = {}


def load_schema(path: str | Path) -> PlanSchema:
    """Read a plan schema from a YAML file.

    Raises:
        BBError: the file cannot be read or is not YAML.
        SchemaError: it is not a plan schema; names file, line, column and the fix.
    """
    marked = read_marked(path)
    return parse_schema(marked.data, marked)


def parse_schema(data: Any, marked: Marked | None = None) -> PlanSchema:
    """Make a plan schema from plain data.

    Args:
        data: what the YAML file holds.
        marked: the document it comes from, for the places in messages.

    Raises:
        SchemaError: not of the shape of a plan schema, or a name is not declared.
    """
    places = marked or Marked(data, "plan schema")
    if not isinstance(data, Mapping):
        raise SchemaError("must be a mapping", where=places.where(()), fix="start with domain:")
    try:
        schema = PlanSchema.model_validate(data)
    except ValidationError as error:
        raise _shape_error(error, places) from error
    for path, what, fix in _faults(schema):
        raise SchemaError(what, where=places.where(path), fix=fix)
    return schema


def schema_data(schema: PlanSchema) -> dict[str, Any]:
    """Return a plan schema as plain data that `parse_schema` reads back; defaults are left out."""
    data: dict[str, Any] = schema.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"domain": schema.domain, "version": schema.version, **data}


def schema_yaml(schema: PlanSchema) -> str:
    """Return a plan schema as YAML text."""
    return yaml.safe_dump(schema_data(schema), sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of plan schema files, for editors."""
    found: dict[str, Any] = PlanSchema.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _shape_error(error: ValidationError, places: Marked) -> SchemaError:
    """Turn pydantic's first complaint into one message of ours; a misspelt key goes first."""
    found = error.errors(include_url=False)
    first = next((fault for fault in found if fault["type"] == "extra_forbidden"), found[0])
    path = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(path[:-1]))
        return SchemaError(
            f"unknown key {str(path[-1])!r}", where=places.where(path), fix=f"use one of {known}"
        )
    if first["type"] == "missing":
        fix = f"add {path[-1]}:"
        return SchemaError(f"{path[-1]!r} is missing", where=places.where(path[:-1]), fix=fix)
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    message = first["msg"][0].lower() + first["msg"][1:]
    return SchemaError(message, where=places.where(path), fix=f"it is {shown}")


def _keys_at(path: Path_) -> list[str]:
    """Return the keys that a mapping at `path` may have."""
    node: dict[str, Any] = json_schema()
    definitions = node["$defs"]
    for part in path:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        node = next((n for n in node.get("anyOf", ()) if "$ref" in n), node)
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[1]]
    return list(node.get("properties", {}))


_Fault = tuple[Path_, str, str]


def _faults(schema: PlanSchema) -> Iterator[_Fault]:
    """Yield every reference to something undeclared: path, what, fix."""
    for section in ("objects", "fluents", "tools"):
        for key in getattr(schema, section):
            if not re.fullmatch(IDENTIFIER, key):
                yield (section, key), f"{key!r} is no name", "use letters, digits and _"
    for fluent, types in schema.fluents.items():
        for i, kind in enumerate(types):
            yield from _known_object(schema, kind, ("fluents", fluent, i))
    for key, tool in schema.tools.items():
        yield from _tool_faults(schema, tool, ("tools", key))
    for i, invariant in enumerate(schema.invariants):
        for variable, kind in invariant.objects.items():
            yield from _known_object(schema, kind, ("invariants", i, "for", variable))
    for name, channel in schema.channels.items():
        if name == PLAN_CHANNEL:
            yield ("channels", name), "plans are always hard-masked", "remove it"
        elif channel.mode != "off" and not channel.grammar:
            yield ("channels", name), f"a {channel.mode} channel needs a grammar", "name its file"
    if schema.graph.min_steps > schema.limits.max_steps:
        yield ("graph", "min_steps"), "is above limits.max_steps", "lower it"
    bearer = schema.service.bearer if schema.service else None
    if bearer and bearer.tool not in schema.tools:
        yield ("service", "bearer", "tool"), f"no tool {bearer.tool!r}", "name a declared tool"


def _known_object(schema: PlanSchema, kind: str, path: Path_) -> Iterator[_Fault]:
    if kind not in schema.objects:
        known = ", ".join(schema.objects) or "none yet"
        yield path, f"object type {kind!r} is not declared", f"declared are {known}"


def _tool_faults(schema: PlanSchema, tool: Tool, path: Path_) -> Iterator[_Fault]:
    yield from _args_faults(tool, path)
    for arg, handle in tool.handles.items():
        yield from _known_object(schema, handle.object, (*path, "handles", arg, "object"))
        if arg not in tool.properties:
            yield (*path, "handles", arg), f"{arg!r} is no argument", "declare it in args"
    if tool.binds:
        yield from _known_object(schema, tool.binds.object, (*path, "binds", "object"))
        yield from _key_faults(tool, (*path, "binds", "key"))
    for arg in tool.places:
        if arg not in tool.properties:
            yield (*path, "places", arg), f"{arg!r} is no argument", "declare it in args"
    for name, aside in (("undo", tool.undo), ("probe", tool.probe)):
        if aside:
            yield from _aside_faults(schema, aside, (*path, name))
    if tool.operation:
        for arg in tool.properties:
            if arg not in tool.places:
                fix = f"write {arg}: path, query, header or body"
                yield (*path, "places"), f"argument {arg!r} has no place", fix
        yield from _place_faults(tool, path)


def _place_faults(tool: Tool, path: Path_) -> Iterator[_Fault]:
    """Arguments that HTTP would take for something else, or for one another."""
    taken = {("body", field): f"secret {field!r}" for field in tool.secrets}
    for arg in tool.places:
        place = tool.place(arg)
        name = place.name.lower() if place.location == "header" else place.name
        if place.location == "header" and (
            name in _HTTP_HEADERS or not re.fullmatch(_HEADER, name)
        ):
            what = f"header {place.name!r} belongs to HTTP"
            yield (*path, "places", arg), what, "put it elsewhere, or drop the tool"
        if not place.whole and (place.location, name) in taken:
            other = taken[place.location, name]
            yield (*path, "places", arg), f"{arg!r} has the place of {other}", "name another"
        taken[place.location, name] = f"argument {arg!r}"


def _aside_faults(schema: PlanSchema, aside: Undo | Probe, path: Path_) -> Iterator[_Fault]:
    called = schema.tools.get(aside.tool)
    if called is None:
        yield (*path, "tool"), f"no tool {aside.tool!r}", "name a declared tool"
        return
    if isinstance(aside, Probe) and called.effect != "read":
        yield (*path, "tool"), f"{aside.tool} is no read", "name a tool with effect: read"
    for arg in aside.args:
        if arg not in called.properties:
            known = ", ".join(called.properties) or "none"
            yield (*path, "args", arg), f"{arg!r} is no argument of {aside.tool}", f"it has {known}"
    for arg in called.args.get("required", ()):
        if arg not in aside.args:
            yield (*path, "args"), f"argument {arg!r} of {aside.tool} is missing", "add it"


def _args_faults(tool: Tool, path: Path_) -> Iterator[_Fault]:
    if tool.args.get("type") != "object":
        yield (*path, "args"), "arguments must be of type object", "write type: object"
    properties = tool.args.get("properties", {})
    if not isinstance(properties, Mapping):
        yield (*path, "args", "properties"), "must be a mapping", "list the arguments"
        return
    for arg in tool.args.get("required", ()):
        if arg not in properties:
            yield (*path, "args", "required"), f"{arg!r} is no argument", "declare it"


def _key_faults(tool: Tool, path: Path_) -> Iterator[_Fault]:
    key = tool.binds.key if tool.binds else None
    if key is None:
        return
    if key not in tool.properties or key not in tool.args.get("required", ()):
        yield path, f"{key!r} is no required argument", "name a required argument"
    elif key in tool.handles:
        yield path, f"{key!r} is a handle", "name an argument that is written out"
