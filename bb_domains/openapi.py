"""Importing OpenAPI 3.0 and 3.1 documents: one tool per operation.

Parameters in path, query and header and the properties of an object body become arguments; another
body becomes the one argument `body`. What OpenAPI cannot say (fluents, preconditions, effects,
invariants) and what is wanted otherwise comes from an overlay (`overlay`).

Left out, each with a note in the log: optional cookie parameters, parameters that carry a declared
credential, and properties the server alone writes (`readOnly`). A header `Idempotency-Key` is no
argument: it makes the tool idempotent, and the executor fills it in.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from bb_core.files import read_text
from bb_domains.errors import LowerError, OpenApiError
from bb_domains.marks import Marked, decode_marked, plain, read_marked
from bb_domains.merge import merge_all
from bb_domains.overlay import apply_overlay
from bb_domains.references import Document, write_pointer
from bb_domains.schema import PlanSchema, parse_schema

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
IDEMPOTENCY_HEADER = "idempotency-key"
FETCH_TIMEOUT_S = 10.0
MOST_BYTES = 16 * 1024 * 1024

_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3.0, 4.7.12.1
_BODIES = (
    ("json", re.compile(r"application/(.+\+)?json\s*(;.*)?")),
    ("form", re.compile(r"application/x-www-form-urlencoded\s*(;.*)?")),
    ("binary", re.compile(r"application/octet-stream|text/plain|\*/\*")),
)

_log = logging.getLogger(__name__)


def import_openapi(
    source: str | Path | Mapping[str, Any], overlay: str | Path | None = None
) -> PlanSchema:
    """Import an OpenAPI document.

    Args:
        source: a URL (http or https), a file (YAML or JSON), or the document as plain data.
        overlay: a YAML file that is merged over the result; see `overlay`.

    Returns:
        The plan schema; whether all of its arguments can be written is for the compiler to say.

    Raises:
        BBError: the file cannot be read or is not YAML.
        OpenApiError: the document cannot be imported; names file, JSON pointer and fix.
        SchemaError: overlay and document do not make a plan schema.
    """
    document, base_url = read_document(source)
    data = _Import(document, base_url).schema_data()
    marked = Marked(data, document.source)
    if overlay is not None:
        marked = apply_overlay(data, read_marked(overlay))
    return parse_schema(marked.data, marked)


def read_document(source: str | Path | Mapping[str, Any]) -> tuple[Document, str]:
    """Read an OpenAPI document; return it and the URL it came from, empty if it has none.

    Raises:
        BBError: it cannot be read.
        OpenApiError: it is no OpenAPI 3 document.
    """
    url = ""
    if isinstance(source, Mapping):
        document = Document(plain(source, "openapi document"), "openapi document")
    elif re.match(r"https?://", str(source)):
        url = str(source)
        document = Document(_decode(_fetch(url), url), url)
    else:
        document = Document(_decode(read_text(source), str(source)), str(source))
    if not isinstance(document.data, Mapping):
        raise OpenApiError("is no OpenAPI document", where=document.source, fix="check the file")
    version = document.data.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        raise OpenApiError(
            f"has openapi: {version!r}",
            where=document.source,
            fix="convert it to OpenAPI 3.0 or 3.1",
        )
    return document, url


def _decode(text: str, source: str) -> Any:
    """JSON if it is JSON (whose tabs are not YAML), else YAML."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return decode_marked(text, source=source).data


def _fetch(url: str) -> str:
    import httpx

    try:
        with (
            httpx.Client(trust_env=False, timeout=FETCH_TIMEOUT_S) as client,
            client.stream("GET", url, follow_redirects=False) as response,
        ):
            response.raise_for_status()
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise OpenApiError("is too large", where=url, fix=f"at most {MOST_BYTES} bytes")
    except httpx.HTTPError as error:
        raise OpenApiError(
            f"cannot be fetched: {error}", where=url, fix="check that the service is running"
        ) from error
    return body.decode("utf-8", "replace")


@dataclass
class _Argument:
    """One argument of a tool on its way into the schema."""

    name: str
    schema: dict[str, Any]
    place: dict[str, Any]
    required: bool


@dataclass
class _Found:
    """What one operation declares, as it is collected."""

    arguments: list[_Argument] = field(default_factory=list)
    idempotent: bool = False
    body: str | None = None


class _Import:
    """One import: the document, and the names given so far."""

    def __init__(self, document: Document, base_url: str) -> None:
        self._document = document
        self._base_url = base_url
        self._credentials = self._credential_parameters()

    def schema_data(self) -> dict[str, Any]:
        """The plan schema as plain data."""
        info = self._document.mapping(("info",), required=False)
        tools: dict[str, Any] = {}
        for path, method, pointer in self._operations():
            name, tool = self._tool(path, method, pointer)
            if name in tools:
                raise self._error(pointer, f"tool name {name!r} is taken", "give operationIds")
            tools[name] = tool
        if not tools:
            raise self._error(("paths",), "declares no operation", "check the document")
        data: dict[str, Any] = {"domain": _domain_name(info.get("title"))}
        service = self._service()
        if service:
            data["service"] = service
        return {**data, "tools": tools}

    def _operations(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for path in self._document.mapping(("paths",)):
            item, pointer = self._document.resolve(("paths", path))
            for method in METHODS:
                if method in item:
                    yield path, method, (*pointer, method)

    def _tool(self, path: str, method: str, pointer: tuple[str, ...]) -> tuple[str, Any]:
        operation = self._document.mapping(pointer)
        found = _Found()
        for parameter, where in self._parameters(pointer):
            self._add_parameter(found, parameter, where)
        if "requestBody" in operation:
            self._add_body(found, (*pointer, "requestBody"))
        _rename_twins(found.arguments)
        self._check_path(path, found.arguments, pointer)
        name = _identifier(str(operation.get("operationId") or f"{method}_{path}"))
        text = operation.get("summary") or operation.get("description") or ""
        tool: dict[str, Any] = {
            "description": " ".join(str(text).split())[:200],
            "operation": {"method": method.upper(), "path": path},
            "args": {
                "type": "object",
                "properties": {a.name: a.schema for a in found.arguments},
                "required": [a.name for a in found.arguments if a.required],
                "additionalProperties": False,
            },
            "places": {a.name: a.place for a in found.arguments},
            "effect": "read" if method in ("get", "head", "options") else "write",
            "idempotent": found.idempotent,
        }
        if found.body:
            tool["operation"]["body"] = found.body
        return name, tool

    def _parameters(
        self, pointer: tuple[str, ...]
    ) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...]]]:
        """Parameters of an operation; its own take the place of its path's of the same name."""
        chosen: dict[tuple[str, str], tuple[Mapping[str, Any], tuple[str, ...]]] = {}
        for owner in (pointer[:-1], pointer):
            listed = self._document.mapping(owner).get("parameters", [])
            if not isinstance(listed, list):
                raise self._error((*owner, "parameters"), "must be a list", "mend the document")
            for i in range(len(listed)):
                parameter, where = self._document.resolve((*owner, "parameters", str(i)))
                key = (str(parameter.get("in")), str(parameter.get("name")))
                chosen[key] = (parameter, where)
        return iter(chosen.values())

    def _add_parameter(
        self, found: _Found, parameter: Mapping[str, Any], pointer: tuple[str, ...]
    ) -> None:
        name, location = str(parameter.get("name")), str(parameter.get("in"))
        if location == "header" and name.lower() == IDEMPOTENCY_HEADER:
            found.idempotent = True
            return
        if location == "header" and name.lower() in _IGNORED_HEADERS:
            return
        if (location, name) in self._credentials:
            _log.info("%s: parameter %r carries a credential; left out", pointer, name)
            return
        if location == "cookie" and not parameter.get("required", False):
            _log.info("%s: cookie %r left out", pointer, name)
            return
        if location not in ("path", "query", "header"):
            fix = "use path, query or header"
            raise self._error(pointer, f"parameter {name!r} is in {location!r}", fix)
        schema = self._parameter_schema(parameter, pointer)
        place = {"in": location, "name": name}
        required = location == "path" or bool(parameter.get("required", False))
        found.arguments.append(_Argument(_identifier(name), schema, place, required))

    def _parameter_schema(
        self, parameter: Mapping[str, Any], pointer: tuple[str, ...]
    ) -> dict[str, Any]:
        if "schema" in parameter:
            return self._schema((*pointer, "schema"))
        content = parameter.get("content")
        if isinstance(content, Mapping) and len(content) == 1:
            return self._schema((*pointer, "content", next(iter(content)), "schema"))
        fix = "give it a schema, or drop the tool in the overlay"
        raise self._error(pointer, f"parameter {parameter.get('name')!r} has no schema", fix)

    def _add_body(self, found: _Found, pointer: tuple[str, ...]) -> None:
        body, where = self._document.resolve(pointer)
        kind, media = self._body_kind(body, where)
        found.body = kind
        at = (*where, "content", media)
        if kind == "binary":
            schema: dict[str, Any] = {"type": "string"}
        elif "schema" not in self._document.mapping(at):
            raise self._error(at, "has no schema", "add one, or drop the tool in the overlay")
        else:
            schema = self._schema((*at, "schema"))
        required = bool(body.get("required", False))
        if schema.get("type") != "object" or not schema.get("properties"):
            place = {"in": "body", "name": "body", "whole": True}
            found.arguments.append(_Argument("body", schema, place, required))
            return
        # Arguments are flat: without the optional body, its required properties are required too.
        for name, part in schema["properties"].items():
            place = {"in": "body", "name": name}
            needed = name in schema.get("required", ())
            found.arguments.append(_Argument(_identifier(name), part, place, needed))

    def _body_kind(self, body: Mapping[str, Any], pointer: tuple[str, ...]) -> tuple[str, str]:
        content = body.get("content")
        offered = list(content) if isinstance(content, Mapping) else []
        for kind, pattern in _BODIES:
            for media in offered:
                if pattern.fullmatch(media):
                    return kind, media
        raise self._error(
            (*pointer, "content"),
            f"offers {', '.join(offered) or 'nothing'}",
            "use JSON, a form or octet-stream, or drop the tool in the overlay",
        )

    def _schema(self, pointer: tuple[str, ...]) -> dict[str, Any]:
        """A schema in full: references resolved, merged, in the words of JSON Schema 2020-12."""
        schema = self._document.expand(pointer)
        try:
            merged = merge_all(schema, write_pointer(pointer))
        except LowerError as error:
            where = f"{self._document.source}: {error.where}"
            raise OpenApiError(error.what, where=where, fix=error.fix) from error
        return merged

    def _service(self) -> dict[str, Any] | None:
        """Base URL and hosts; None if the document names no absolute server."""
        servers = self._document.data.get("servers") or [{"url": "/"}]
        server = servers[0] if isinstance(servers, list) else {}
        url = str(server.get("url", "/")) if isinstance(server, Mapping) else "/"
        variables = server.get("variables") if isinstance(server, Mapping) else None
        for name, variable in (variables or {}).items():
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
        url = urljoin(self._base_url, url).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return None
        return {"base_url": url, "hosts": [parts.netloc]}

    def _check_path(self, path: str, arguments: list[_Argument], pointer: tuple[str, ...]) -> None:
        named = set(re.findall(r"\{([^{}]+)\}", path))
        given = {a.place["name"] for a in arguments if a.place["in"] == "path"}
        for name in sorted(named ^ given):
            what = "is in the path only" if name in named else "is not in the path"
            raise self._error(pointer, f"path parameter {name!r} {what}", "declare it in both")

    def _credential_parameters(self) -> set[tuple[str, str]]:
        """(location, name) of parameters that carry API keys."""
        components = self._document.mapping(("components",), required=False)
        found: set[tuple[str, str]] = set()
        for name in components.get("securitySchemes", {}):
            scheme, _ = self._document.resolve(("components", "securitySchemes", name))
            if scheme.get("type") == "apiKey":
                found.add((str(scheme.get("in")), str(scheme.get("name"))))
        return found

    def _error(self, pointer: tuple[str, ...], what: str, fix: str) -> OpenApiError:
        return self._document.error(pointer, what, fix)


def _rename_twins(arguments: list[_Argument]) -> None:
    """Give arguments that would share a name the prefix of their place."""
    names = [a.name for a in arguments]
    for argument in arguments:
        if names.count(argument.name) > 1 and argument.place["in"] != "path":
            argument.name = f"{argument.place['in']}_{argument.name}"


def _identifier(text: str) -> str:
    """A name of letters, digits and underscores: `list-data-sets` is `list_data_sets`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "root"
    return f"_{name}" if name[0].isdigit() else name


def _domain_name(title: Any) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", str(title or "").lower()).strip("_")
    return name if name[:1].isalpha() else f"api_{name}".rstrip("_")
