"""`bb domain`: results on stdout, exit codes, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bb_core.cli import run_app
from bb_domains.cli import app

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Tiny"},
    "paths": {
        "/x/{n}": {
            "get": {
                "operationId": "x",
                "parameters": [
                    {"name": "n", "in": "path", "required": True, "schema": {"type": "integer"}}
                ],
            }
        }
    },
}


def bb_domain(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "bb domain", [str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(DOCUMENT))
    return path


def test_a_document_is_imported_checked_and_drawn(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny"
    assert bb_domain("import-openapi", document, "--out", out, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["domain"], facts["tools"], facts["out"]) == ("tiny", 1, str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "arguments.schema.json",
        "grammar.lark",
        "plan_schema.yaml",
    ]
    assert bb_domain("check", out) == 0
    assert facts["fingerprint"] in capsys.readouterr().out
    assert bb_domain("graph", out) == 0
    assert capsys.readouterr().out.startswith('digraph "tiny"')
    assert bb_domain("graph", out, "--format", "svg", "--out", tmp_path / "tiny.svg") == 0
    assert (tmp_path / "tiny.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("shop.internal:8080", True), ("shop", True), ("api.shop.svc.cluster.local", True),
        ("shop.example.com", False), ("localhost:8080", False), ("127.0.0.1:8080", False),
        ("10.1.2.3", False), ("[fd00::3]:80", False), ("[::1]", False),
    ],
)  # fmt: skip
def test_a_service_with_a_private_name_is_told_to_list_its_network(
    host: str, told: bool, document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document.write_text(yaml.safe_dump({**DOCUMENT, "servers": [{"url": f"http://{host}"}]}))
    out, overlay = tmp_path / "tiny", tmp_path / "overlay.yaml"
    overlay.write_text('service: {networks: ["10.1.2.0/24"]}')
    hint = f"service.hosts: {host} looks private; an address that is not public is reached only"
    for command in (["import-openapi", document, "--out", out], ["check", out]):
        assert bb_domain(*command) == 0
        said = capsys.readouterr().out
        assert (hint in said) == told
        assert ('networks: ["10.1.2.0/24"]' in said) == told
    assert bb_domain("import-openapi", document, "--overlay", overlay, "--out", out) == 0
    assert "looks private" not in capsys.readouterr().out


def test_a_failed_import_leaves_what_was_there(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny"
    assert bb_domain("import-openapi", document, "--out", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"]["/x/{n}"]["get"]["parameters"][0]["schema"] = {"$ref": "#/nowhere"}
    document.write_text(yaml.safe_dump(broken))
    capsys.readouterr()
    assert bb_domain("import-openapi", document, "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "tiny.yaml: #/paths/~1x~1{n}/get/parameters/0/schema/$ref: #/nowhere does" in error
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_edited_schema_asks_for_its_grammar(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny"
    bb_domain("import-openapi", document, "--out", out)
    schema = out / "plan_schema.yaml"
    schema.write_text(schema.read_text().replace("type: integer", "type: boolean"))
    assert bb_domain("check", out) == 1
    assert "write it anew with bb domain check --write" in capsys.readouterr().err
    assert bb_domain("check", out, "--write") == 0
    assert bb_domain("check", out) == 0


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["check", "nowhere"], 1, "error: domain: no domain 'nowhere'"),
        (["check", "nowhere", "--write"], 2, "error: nowhere: is no folder"),
        (["graph", "api_json", "--format", "png"], 2, "error: --format: no format 'png'; use dot"),
        (["import-openapi", "gone.yaml", "--out", "x"], 1, "gone.yaml: file does not exist"),
    ],
)
def test_mistakes_end_with_one_line(
    args: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bb_domain(*args) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_domains_are_listed(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bb_domain("import-openapi", document, "--out", tmp_path / "domains" / "tiny")
    capsys.readouterr()
    assert bb_domain("list", "--work", tmp_path, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"name": "tiny", "place": str(tmp_path / "domains" / "tiny")} in rows
    assert bb_domain("list", "--work", tmp_path) == 0
    assert f"tiny\t{tmp_path}" in capsys.readouterr().out


def test_help_has_examples_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from bb_domains.cli import app; from typer.testing import CliRunner;"
        "out = CliRunner().invoke(app, ['check', '--help']).output;"
        "assert 'Example: bb domain check' in out, out;"
        "heavy = {'numpy', 'lark', 'httpx', 'jsonschema', 'bem_kernel'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "COLUMNS": "200"})
