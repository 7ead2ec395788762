"""Importing OpenAPI documents: small ones of our own, good and bad."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bb_core.errors import BBError
from bb_domains.domain import make_domain
from bb_domains.errors import OpenApiError, SchemaError
from bb_domains.openapi import import_openapi

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pet Shop (v2)", "version": "1"},
    "servers": [{"url": "{s}://h.example:81/api/", "variables": {"s": {"default": "https"}}}],
    "paths": {
        "/pets/{petId}": {
            "parameters": [
                {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}},
                {"name": "q", "in": "query", "schema": {"type": "string"}},
            ],
            "get": {
                "operationId": "find pet-by.id",
                "summary": "Find a\n pet",
                "parameters": [
                    {"name": "q", "in": "query", "schema": {"type": "boolean"}, "required": True},
                    {"name": "X-Key", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "sid", "in": "cookie", "schema": {"type": "string"}},
                ],
            },
            "delete": {"parameters": [{"$ref": "#/components/parameters/Once"}]},
        },
        "/pets": {
            "post": {
                "operationId": "add",
                "requestBody": {
                    "content": {
                        "application/xml": {"schema": {"type": "object"}},
                        "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}},
                    }
                },
            },
            "put": {
                "operationId": "addAll",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/vnd.shop+json; v=1": {
                            "schema": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/New"},
                            }
                        }
                    },
                },
            },
        },
        "/pets/{id}/photo": {
            "post": {
                "operationId": "photo",
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "content": {"text/plain": {"schema": {"type": "integer"}}},
                    }
                ],
                "requestBody": {"content": {"application/octet-stream": {}}},
            }
        },
        "/search": {
            "post": {
                "operationId": "search",
                "parameters": [{"name": "a", "in": "query", "schema": {"type": "integer"}}],
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {
                                "type": "object",
                                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                                "required": ["b"],
                            }
                        }
                    }
                },
            }
        },
    },
    "components": {
        "parameters": {
            "Once": {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
        },
        "schemas": {
            "New": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}},
            },
            "Pet": {
                "allOf": [
                    {"$ref": "#/components/schemas/New"},
                    {
                        "properties": {
                            "id": {"type": "integer", "readOnly": True},
                            "age": {
                                "type": "integer",
                                "nullable": True,
                                "minimum": 0,
                                "exclusiveMinimum": True,
                                "maximum": 9,
                                "exclusiveMaximum": False,
                            },
                        },
                        "required": ["id"],
                    },
                ]
            },
        },
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    },
}


def changed(*path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    node = document
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return document


def test_operations_become_tools() -> None:
    schema = import_openapi(DOCUMENT)
    assert schema.domain == "pet_shop_v2"
    assert list(schema.tools) == [
        "find_pet_by_id",
        "delete_pets_petId",
        "addAll",
        "add",
        "photo",
        "search",
    ]
    assert make_domain(schema).machine.admissible(make_domain(schema).machine.initial())


def test_the_service_is_the_first_server_with_its_variables() -> None:
    service = import_openapi(DOCUMENT).service
    assert service is not None
    assert (service.base_url, service.hosts) == ("https://h.example:81/api", ("h.example:81",))
    assert import_openapi(changed("servers", value=[{"url": "/v1"}])).service is None


def test_parameters_become_arguments() -> None:
    tool = import_openapi(DOCUMENT).tools["find_pet_by_id"]
    assert tool.properties == {"petId": {"type": "integer"}, "q": {"type": "boolean"}}
    assert tool.args["required"] == ["petId", "q"]
    assert (tool.description, tool.effect) == ("Find a pet", "read")
    assert [tool.place(arg).location for arg in tool.properties] == ["path", "query"]


def test_a_credential_is_no_argument() -> None:
    assert "X_Key" not in import_openapi(DOCUMENT).tools["find_pet_by_id"].properties
    without = changed("components", "securitySchemes", value={})
    assert "X_Key" in import_openapi(without).tools["find_pet_by_id"].properties


def test_an_idempotency_key_makes_a_tool_idempotent() -> None:
    tools = import_openapi(DOCUMENT).tools
    assert tools["delete_pets_petId"].idempotent
    assert list(tools["delete_pets_petId"].properties) == ["petId", "q"]
    assert not tools["add"].idempotent


def test_the_properties_of_an_object_body_become_arguments() -> None:
    tool = import_openapi(DOCUMENT).tools["add"]
    assert tool.operation is not None
    assert tool.operation.body == "json"
    assert tool.args["required"] == ["name"]
    age = {"type": ["integer", "null"], "exclusiveMinimum": 0, "maximum": 9}
    assert tool.properties == {"name": {"type": "string"}, "age": age}


def test_another_body_becomes_one_argument() -> None:
    tools = import_openapi(DOCUMENT).tools
    assert tools["addAll"].place("body").whole
    assert tools["addAll"].args["required"] == ["body"]
    assert tools["photo"].properties["body"] == {"type": "string"}
    assert tools["photo"].operation is not None
    assert tools["photo"].operation.body == "binary"


def test_arguments_of_one_name_get_the_name_of_their_place() -> None:
    tool = import_openapi(DOCUMENT).tools["search"]
    assert list(tool.properties) == ["query_a", "body_a", "b"]
    assert tool.place("body_a").name == "a"
    assert tool.operation is not None
    assert tool.operation.body == "form"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"swagger": "2.0"}, "has openapi: None; convert it to OpenAPI 3.0 or 3.1"),
        (changed("paths", value={}), "#/paths: declares no operation"),
        (changed("paths", "/pets", value=3), "#/paths/~1pets: must be a mapping"),
        (changed("components", "schemas", value={}), "#/components/schemas/New does not exist"),
        (
            changed("paths", "/pets", "post", "requestBody", "content", value={"text/csv": {}}),
            "requestBody/content: offers text/csv; use JSON",
        ),
        (
            changed(
                "components",
                "schemas",
                "New",
                "properties",
                "me",
                value={"$ref": "#/components/schemas/New"},
            ),
            r"New/properties/me/\$ref: #/components/schemas/New contains itself",
        ),
        (
            changed(
                "components", "schemas", "New", "properties", "far", value={"$ref": "b.yaml#/x"}
            ),
            r"properties/far/\$ref: 'b.yaml#/x' points out of the document; bundle",
        ),
        (
            changed(
                "components", "parameters", "Once", value={"$ref": "#/components/parameters/Once"}
            ),
            "Once: references go round in a circle",
        ),
        (
            changed("paths", "/pets", "put", "operationId", value="add"),
            "tool name 'add' is taken; give operationIds",
        ),
        (
            changed("paths", "/pets/{petId}", "parameters", value=[]),
            "path parameter 'petId' is in the path only; declare it in both",
        ),
        (
            changed(
                "paths",
                "/pets",
                "put",
                "parameters",
                value=[{"name": "c", "in": "cookie", "required": True}],
            ),
            "parameters/0: parameter 'c' is in 'cookie'",
        ),
        (
            changed("paths", "/pets", "put", "parameters", value=[{"name": "c", "in": "query"}]),
            "parameters/0: parameter 'c' has no schema",
        ),
    ],
)
def test_bad_documents_are_refused_with_their_pointer(
    document: dict[str, Any], message: str
) -> None:
    with pytest.raises(OpenApiError, match=message):
        import_openapi(document)


def test_parts_that_contradict_each_other_are_refused() -> None:
    document = changed("components", "schemas", "New", "type", value="string")
    document["components"]["schemas"]["Pet"]["allOf"][1]["type"] = "object"
    with pytest.raises(OpenApiError, match="#/paths/~1pets/post/.*/allOf/1/type: no value satisf"):
        import_openapi(document)


def test_a_file_is_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    broken = changed("components", "schemas", "New", "properties", "x", value={"$ref": "#/no"})
    path.write_text(yaml.safe_dump(broken))
    with pytest.raises(OpenApiError, match=r"api\.yaml: #/.*/x/\$ref: #/no does not exist; add it"):
        import_openapi(path)
    with pytest.raises(BBError, match=r"gone\.yaml: file does not exist"):
        import_openapi(tmp_path / "gone.yaml")
    path.write_text("openapi: '3.0.0'\npaths: {\n")
    with pytest.raises(BBError, match=r"api\.yaml:3:1: not YAML"):
        import_openapi(path)
    path.write_text("- 1\n")
    with pytest.raises(OpenApiError, match=r"api\.yaml: is no OpenAPI document"):
        import_openapi(path)


def test_json_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(DOCUMENT, indent="\t"))
    assert import_openapi(path) == import_openapi(DOCUMENT)


def test_a_document_is_fetched() -> None:
    document = changed("servers", value=[{"url": "/v1"}])
    with serving(json.dumps(document).encode()) as url:
        schema = import_openapi(f"{url}/openapi.json")
    assert schema.service is not None
    assert schema.service.base_url == f"{url}/v1"
    assert list(schema.tools) == list(import_openapi(DOCUMENT).tools)


def test_a_refusing_service_is_named() -> None:
    with (
        serving(b"", status=503) as url,
        pytest.raises(OpenApiError, match="cannot be fetched.*503"),
    ):
        import_openapi(url)


@contextlib.contextmanager
def serving(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


def test_a_service_that_does_not_answer_is_named() -> None:
    with pytest.raises(
        OpenApiError, match=r"http://127\.0\.0\.1:9/openapi\.json: cannot be fetched"
    ):
        import_openapi("http://127.0.0.1:9/openapi.json")


OVERLAY = """
domain: pets
service: {hosts: ["127.0.0.1"]}
objects: {pet: {slots: 2}}
fluents: {seen: [pet]}
other_tools: drop
tools:
  look:
    from: find_pet_by_id
    rename_args: {petId: number}
    args: {order: [q], properties: {number: {minimum: 1, maximum: 99}}}
    binds: {object: pet, key: number}
    effects: [seen(self)]
  photo:
    rename_args: {id: pet}
    args: {properties: {body: null}}
    handles: {pet: {object: pet}}
    pre: seen(pet)
"""


def overlay(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    return path


def test_an_overlay_adds_and_takes_away(tmp_path: Path) -> None:
    schema = import_openapi(DOCUMENT, overlay(tmp_path, OVERLAY))
    assert (schema.domain, list(schema.tools)) == ("pets", ["look", "photo"])
    look = schema.tools["look"]
    assert list(look.properties) == ["q", "number"]
    assert look.properties["number"] == {"type": "integer", "minimum": 1, "maximum": 99}
    assert look.place("number").name == "petId"
    assert schema.service is not None
    assert schema.service.base_url == "https://h.example:81/api"
    assert schema.service.hosts == ("127.0.0.1",)
    assert list(schema.tools["photo"].properties) == ["pet"]
    machine = make_domain(schema).machine
    assert [call.tool for call in machine.admissible(machine.initial())] == ["look"]


def test_tools_not_named_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    text = "tools: {add: null, search: {cost: 3}}"
    tools = import_openapi(DOCUMENT, overlay(tmp_path, text)).tools
    assert "add" not in tools
    assert "photo" in tools
    assert tools["search"].cost == 3
    assert import_openapi(DOCUMENT, overlay(tmp_path, "")) == import_openapi(DOCUMENT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tools:\n  serch: {cost: 3}",
            r"overlay\.yaml:2:3: tools\.serch: no operation 'serch'; wr",
        ),
        ("tools:\n  a: {from: b}", "no operation 'b'; write from: with one of find_pet_by_id"),
        (
            "tools:\n  add:\n    rename_args: {nme: x}",
            r"overlay\.yaml:3:19: tools\.add\.rename_args\.nme: no argument 'nme'; there are name",
        ),
        ("tools:\n  add: {args: {order: [nme]}}", "no argument 'nme'"),
        ("tools:\n  add: 3", r"overlay\.yaml:2:3: tools\.add: must be a mapping"),
        ("tools: 3", "tools: must be a mapping"),
        ("other_tools: some", "other_tools: is 'some'; write keep or drop"),
        ("- 1", r"overlay\.yaml:1:1: must be a mapping"),
        ("tools:\n  add: {prae: x}", r"overlay\.yaml:2:9: tools\.add\.prae: unknown key 'prae'"),
        ("limits: {max_steps: 0}", r"overlay\.yaml:1:10: limits\.max_steps: .*greater"),
    ],
)
def test_bad_overlays_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        import_openapi(DOCUMENT, overlay(tmp_path, text))


def test_references_do_not_grow_beyond_measure() -> None:
    parts: dict[str, Any] = {"S0": {"type": "integer"}}
    for i in range(1, 9):
        refs = {f"p{k}": {"$ref": f"#/components/schemas/S{i - 1}"} for k in range(9)}
        parts[f"S{i}"] = {"type": "object", "properties": refs}
    document = changed("components", "schemas", value={**parts, "New": parts["S8"], "Pet": {}})
    document["paths"]["/pets"]["put"]["requestBody"]["content"] = {
        "application/json": {"schema": {"$ref": "#/components/schemas/S8"}}
    }
    with pytest.raises(OpenApiError, match="has more than 200000 nodes in full"):
        import_openapi(document)
