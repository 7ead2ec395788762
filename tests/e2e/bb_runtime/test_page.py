"""The page at `/`, in a real browser; skipped where there is no Chromium."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def neighbour(name):
    """A module beside this file."""
    spec = importlib.util.spec_from_file_location(f"bb_e2e_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chromium = neighbour("chromium")
PROGRAM = chromium.find_chromium()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium; name one by BB_CHROMIUM"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "go").touch()
    served = neighbour("test_serve_process").Served(folder)
    yield served
    served.end(signal.SIGKILL)


@pytest.fixture
def page(server, tmp_path):
    page = chromium.Page(PROGRAM, tmp_path)
    page.go(str(server.client.base_url))
    page.until("document.getElementById('model')?.textContent === 'tiny'")
    yield page
    page.close()


def fill(page, **values):
    for name, value in values.items():
        name = name.replace("_", "-")
        page.tell(
            f"(() => {{ const one = document.getElementById({json.dumps(name)});"
            f" one.value = {json.dumps(value)}; one.dispatchEvent(new Event('change')); }})()"
        )


def send(page):
    page.tell("document.getElementById('send').click()")
    page.until("!document.getElementById('send').disabled")
    return page.tell("document.getElementById('status').textContent")


def text(page, name):
    return page.tell(f"document.getElementById({json.dumps(name)}).textContent")


def test_a_masked_decode_is_watched_and_judged(page):
    fill(page, constraint="regex", constraint_text="ab[0-9]{3}cd", tokens="40")
    assert send(page) == "ended: stop"
    assert text(page, "decode").startswith("ab") and text(page, "decode").endswith("cd")
    assert page.tell("document.querySelectorAll('#decode .forced').length") >= 2
    page.tell("document.querySelector('[data-verdict=good]').click()")
    page.until("document.getElementById('thanks').textContent === 'kept'")


def test_a_plan_is_drawn_run_and_logged(page):
    fill(page, kind="plan", then="run", tokens="160")
    assert send(page).startswith("ended: ")
    assert page.tell("document.querySelectorAll('#graph [data-step]').length") >= 1
    assert "checked: plan" in text(page, "log") and "run " in text(page, "log")
    assert page.tell("document.querySelectorAll('#graph .ok').length") >= 1


def test_an_error_is_shown(page):
    fill(page, constraint="regex", constraint_text="(")
    assert "regular expression is refused" in send(page)


def test_stop_ends_the_stream(page):
    fill(page, tokens="4000", temperature="1", prompt="x")
    page.tell("document.getElementById('send').click()")
    page.until("document.getElementById('decode').childNodes.length > 2")
    page.tell("document.getElementById('stop').click()")
    page.until("!document.getElementById('send').disabled")
    assert text(page, "status") == "stopped"
