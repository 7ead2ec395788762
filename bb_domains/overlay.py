"""Overlays: a partial `plan_schema.yaml` merged over what OpenAPI says.

    domain: api_json                   # any key of a plan schema; mappings merge, the rest replaces
    other_tools: drop                  # keep (default) or drop the tools not named below
    tools:
      get_order:
        from: getOrderById             # the imported tool this one is made of
        rename_args: {orderId: number} # argument names; the wire names stay
        args: {properties: {number: {minimum: 1000, maximum: 9999}, verbose: null}}
        pre: logged_in                 # null takes away: an argument, a property, any key
      deleteOrder: null                # the tool is dropped

The order of properties is the document's, unless `args.order` lists names that come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bb_domains.errors import SchemaError
from bb_domains.marks import Marked, Path_


def apply_overlay(data: Mapping[str, Any], overlay: Marked) -> Marked:
    """Merge an overlay over an imported schema's data.

    Returns:
        The merged data with the overlay's places, so that messages point into the overlay.

    Raises:
        SchemaError: the overlay names a tool or argument that does not exist.
    """
    given = overlay.data if overlay.data is not None else {}
    if not isinstance(given, Mapping):
        raise SchemaError("must be a mapping", where=overlay.where(()), fix="start with domain:")
    listed = given.get("tools") or {}
    if not isinstance(listed, Mapping):
        raise SchemaError("must be a mapping", where=overlay.where(("tools",)), fix="name tools")
    rest = {k: v for k, v in given.items() if k not in ("tools", "other_tools")}
    imported = data["tools"]
    tools: dict[str, Any] = {}
    taken: set[str] = set()
    for name, change in listed.items():
        source = change.get("from", name) if isinstance(change, Mapping) else name
        if source not in imported and (change is None or "operation" not in change):
            known = ", ".join(imported)
            raise SchemaError(
                f"no operation {source!r}",
                where=overlay.where(("tools", name)),
                fix=f"write from: with one of {known}",
            )
        taken.add(source)
        if change is not None:
            tools[name] = _tool(imported.get(source, {}), change, overlay, ("tools", name))
    if _keeps_others(given, overlay):
        others = {name: tool for name, tool in imported.items() if name not in taken}
        tools = {**others, **tools}
    base = {key: value for key, value in data.items() if key != "tools"}
    return Marked({**deep_merge(base, rest), "tools": tools}, overlay.source, overlay.places)


def deep_merge(base: Any, change: Any) -> Any:
    """Merge mappings key by key; anything else is replaced, and a null takes the key away."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = deep_merge(merged.get(key), value)
    return merged


def _keeps_others(given: Mapping[str, Any], overlay: Marked) -> bool:
    choice = given.get("other_tools", "keep")
    if choice not in ("keep", "drop"):
        raise SchemaError(
            f"is {choice!r}", where=overlay.where(("other_tools",)), fix="write keep or drop"
        )
    return bool(choice == "keep")


def _tool(base: Any, change: Mapping[str, Any], overlay: Marked, path: Path_) -> dict[str, Any]:
    if not isinstance(change, Mapping):
        raise SchemaError("must be a mapping", where=overlay.where(path), fix="or null to drop it")
    base = _rename_args(base, change.get("rename_args") or {}, overlay, (*path, "rename_args"))
    rest = {k: v for k, v in change.items() if k not in ("from", "rename_args")}
    order = (rest.get("args") or {}).get("order", ())
    merged: dict[str, Any] = deep_merge(base, rest)
    args = {k: v for k, v in merged.get("args", {}).items() if k != "order"}
    if "properties" in args:
        args["properties"] = _ordered(args["properties"], order, overlay, (*path, "args", "order"))
        args["required"] = [n for n in args.get("required", ()) if n in args["properties"]]
        places = merged.get("places", {})
        merged["places"] = {n: p for n, p in places.items() if n in args["properties"]}
    if args:
        merged["args"] = args
    return merged


def _ordered(
    properties: Mapping[str, Any], order: Any, overlay: Marked, path: Path_
) -> dict[str, Any]:
    for name in order:
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise SchemaError(f"no argument {name!r}", where=overlay.where(path), fix=known)
    return {name: properties[name] for name in dict.fromkeys([*order, *properties])}


def _rename_args(
    tool: Mapping[str, Any], names: Mapping[str, str], overlay: Marked, path: Path_
) -> dict[str, Any]:
    args = tool.get("args", {})
    properties = args.get("properties", {})
    for old in names:
        if old not in properties:
            known = ", ".join(properties) or "none"
            raise SchemaError(
                f"no argument {old!r}", where=overlay.where((*path, old)), fix=f"there are {known}"
            )
    if not names:
        return dict(tool)
    renamed = {
        **args,
        "properties": {names.get(n, n): schema for n, schema in properties.items()},
        "required": [names.get(n, n) for n in args.get("required", ())],
    }
    places = {names.get(n, n): place for n, place in tool.get("places", {}).items()}
    return {**tool, "args": renamed, "places": places}
