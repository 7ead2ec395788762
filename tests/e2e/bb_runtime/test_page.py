"""The page at `/`, in a real browser; skipped where there is no Chromium."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path

import pytest

from bb_runtime.http.keys import Key, key_hash, save_keys

HERE = Path(__file__).parent
PLAN = [
    {"id": "a", "tool": "login", "args": {}},
    {"id": "b", "tool": "get_order", "args": {"number": 1042}},
    {"id": "c", "tool": "confirm_owner", "args": {"order": "$b.id", "email": "ana@example.com"}},
    {
        "id": "d",
        "tool": "refund_order",
        "args": {"order": "$b.id", "amount": 12.07, "reason": "late"},
    },
]
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


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
def served():
    return neighbour("test_serve_process").Served


@pytest.fixture(scope="module")
def server(served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "go").touch()
    server = served(folder)
    server.folder = folder
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def opened(tmp_path):
    """Opens the page of a server; whatever was shown, no script failed and no rule was broken."""
    pages = []

    def open_page(server, **options):
        page = chromium.Page(PROGRAM, tmp_path / f"profile-{len(pages)}", **options)
        pages.append(page)
        page.go(str(server.client.base_url))
        page.until("document.getElementById('model')?.textContent === 'model tiny'")
        return page

    yield open_page
    complaints = [complaint for page in pages for complaint in page.complaints()]
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture
def page(server, opened):
    return opened(server)


def fill(page, **values):
    """Set fields as a person would, the kind of question first."""
    if kind := values.pop("kind", None):
        page.tell(f"document.querySelector('[name=kind][value={kind}]').click()")
    for name, value in values.items():
        field = f"document.getElementById({json.dumps(name.replace('_', '-'))})"
        page.tell(
            f"{field}.value = {json.dumps(value)};"
            f"{field}.dispatchEvent(new Event('change', {{bubbles: true}}))"
        )


def click(page, selector):
    page.tell(f"document.querySelector({json.dumps(selector)}).click()")


def send(page):
    """Press Send, wait for the end, and return the status."""
    click(page, "#send")
    return ended(page)


def ended(page):
    page.until("document.getElementById('stop').disabled")
    return text(page, "#status")


def text(page, selector):
    return page.tell(f"document.querySelector({json.dumps(selector)}).textContent")


def count(page, selector):
    return page.tell(f"document.querySelectorAll({json.dumps(selector)}).length")


def states(page, where="#graph"):
    return page.tell(
        f"[...document.querySelectorAll('{where} [data-step]')].map((one) => one.dataset.state)"
    )


# -- a text ----------------------------------------------------------------------------------


def test_a_masked_decode_is_watched_and_judged(page):
    fill(page, constraint="regex", constraint_text="ab[0-9]{3}cdé", tokens="40")
    assert send(page) == "Complete."
    assert text(page, "#decode").startswith("ab") and text(page, "#decode").endswith("cdé")
    forced = count(page, "#decode .forced")
    tokens = count(page, "#decode span")
    assert 2 <= forced < tokens
    counts = (
        f"{tokens} tokens: the model was called for {tokens - forced}, the mask forced {forced}."
    )
    assert text(page, "#counts") == counts
    click(page, "[data-verdict=good]")
    page.until("document.getElementById('thanks').textContent === 'Thank you, it is kept.'")


def test_keys_go_from_token_to_token_and_say_what_was_allowed(page):
    fill(page, constraint="regex", constraint_text="ab[0-9]cd", tokens="40")
    send(page)
    page.tell("document.getElementById('decode').focus()")
    page.press("Home")
    assert "forced, nothing else was allowed" in text(page, "#token")
    for _ in range(3):
        page.press("ArrowRight")
        if "10 tokens were allowed" in text(page, "#token"):
            break
    else:
        pytest.fail("the digit was not found")
    assert count(page, "#token li") == 5 and "%" in text(page, "#token li")
    page.press("ArrowLeft")
    assert "forced" in text(page, "#token") and count(page, "#decode .shown") == 1


def test_a_cut_answer_says_so(page):
    fill(page, tokens="3")
    assert send(page) == "Cut off: all tokens are used."


def test_stop_ends_the_stream(page):
    fill(page, tokens="4000", temperature="1", prompt="x")
    click(page, "#send")
    page.until("document.getElementById('decode').childNodes.length > 2")
    click(page, "#stop")
    assert ended(page) == "Stopped."


# -- plans -----------------------------------------------------------------------------------


def test_a_plan_is_decoded_drawn_run_and_logged(page):
    fill(page, kind="plan", then="run", tokens="160")
    assert send(page) == "Done: every step succeeded."
    assert text(page, "#decode").startswith('{"plan":[') and count(page, "#decode .forced") > 0
    assert states(page) and set(states(page)) == {"ok"}
    assert "The checker passes it; plan " in text(page, "#verdict")
    assert "decoded in" in text(page, "#log") and ": done" in text(page, "#log")
    assert ": done" in text(page, "#runs summary") and count(page, "#runs button") == 0


def test_what_depends_on_what_is_drawn(page):
    fill(page, kind="sent", plan=json.dumps({"plan": PLAN}))
    assert send(page) == "The plan passes the checker."
    page.until("document.querySelectorAll('#graph .data').length === 2")
    assert " after b" in text(page, "#graph [data-step=d]")
    assert count(page, "#graph svg[aria-hidden=true]") == 1


def test_a_refusal_shows_rule_and_repair_and_offers_the_nearest_plan(page):
    wrong = [PLAN[0] | {"tool": "log_in"}, *PLAN[1:]]
    fill(page, kind="sent", plan=json.dumps(wrong))
    assert send(page) == "Refused at step a by the rule “tool”."
    assert states(page)[0] == "refused"
    told = dict(zip(*(
        page.tell(f"[...document.querySelectorAll('#verdict {tag}')].map((one) => one.textContent)")
        for tag in ("dt", "dd")
    ), strict=True))  # fmt: skip
    assert told["Rule"] == "tool" and "login" in told["Repair"]
    click(page, "#nearest")
    assert json.loads(page.tell("document.getElementById('plan').value"))["plan"] == PLAN
    assert send(page) == "The plan passes the checker."
    assert page.tell("document.getElementById('nearest').hidden")


def test_a_decoded_plan_can_be_edited(page):
    fill(page, kind="plan", tokens="160")
    assert send(page) == "The plan passes the checker." and states(page)
    click(page, "#edit")
    fill(page, plan=page.tell("document.getElementById('plan').value").replace("login", "logout"))
    assert "by the rule “tool”" in send(page)


def test_a_run_that_fails_says_why_and_goes_on_later(server, page):
    (server.folder / "refund_order").touch()
    fill(page, kind="sent", then="run", plan=json.dumps(PLAN))
    assert send(page).startswith("Failed at step d: ")
    assert "<b>out of service</b>" in text(page, "#status")
    assert states(page) == ["ok", "ok", "ok", "failed"]
    (server.folder / "refund_order").unlink()
    click(page, "#runs summary")
    assert states(page, "#runs details[open]") == ["ok", "ok", "ok", "failed"]
    page.tell(
        "[...document.querySelectorAll('#runs button')]"
        ".find((one) => one.textContent === 'Go on').click()"
    )
    assert ended(page) == "Done: every step succeeded."
    assert states(page) == ["ok"] * 4
    page.until("document.querySelector('#runs summary').textContent.endsWith('done')")
    assert "ana@example.com" not in text(page, "#runs")


# -- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"constraint": "regex", "constraint_text": "("}, "regular expression is refused"),
        ({"constraint": "json", "constraint_text": "{"}, "The JSON Schema is no JSON: "),
        ({"kind": "sent", "plan": "{"}, "The plan is no JSON: "),
        ({"kind": "sent", "plan": "[1]"}, "plan: /plan/0: must be an object"),
        ({"kind": "sent", "plan": "null"}, "give exactly one of request and plan"),
    ],
)
def test_an_error_is_said(page, fields, message):
    fill(page, **fields)
    assert message in send(page)
    assert page.tell("document.getElementById('status').className") == "error"


def test_a_key_is_asked_for_then_the_server_dies(served, opened, tmp_path):
    save_keys(
        tmp_path / "keys.yaml",
        [Key(name="shop", sha256=key_hash("bb-key"), domains=("shop",), run=False)],
    )
    server = served(tmp_path)
    try:
        page = opened(server)
        assert send(page).startswith("no valid API key; ")
        assert page.tell("document.activeElement.id") == "key"
        fill(page, key="bb-key", tokens="3")
        assert send(page) == "Cut off: all tokens are used."
        fill(page, kind="plan", then="run")
        assert "key shop may not run plans" in send(page)
        fill(page, kind="text", tokens="4000", temperature="1")
        click(page, "#send")
        page.until("document.getElementById('decode').childNodes.length > 2")
        server.end(signal.SIGKILL)
        assert ended(page) == "The connection broke: what is shown is not all of the answer."
        assert send(page) == "The server cannot be reached. Is it still running?"
    finally:
        server.end(signal.SIGKILL)


def test_a_busy_server_says_when_to_come_back(served, opened, tmp_path):
    server = served(tmp_path)  # its first plan waits for the file `go`
    try:
        page = opened(server)
        body = {"plan": PLAN, "run": True, "background": True}
        while (answer := server.client.post("/v1/plans", json=body)).status_code == 202:
            pass
        assert answer.status_code == 429
        fill(page, kind="plan")
        assert send(page).startswith("Busy: ") and "(Retry-After: 1 s)" in text(page, "#status")
    finally:
        (tmp_path / "go").touch()
        server.end(signal.SIGKILL)


# -- safety ----------------------------------------------------------------------------------


def test_hostile_words_stay_words(page):
    fill(page, constraint="choice", constraint_text=HOSTILE, prompt=HOSTILE)
    assert send(page) == "Complete." and text(page, "#decode") == HOSTILE
    page.tell("document.getElementById('decode').focus()")
    page.press("End")
    for first in ({"tool": HOSTILE}, {"args": {HOSTILE: HOSTILE}}):
        step = PLAN[0] | first
        fill(page, kind="sent", plan=json.dumps([step, *PLAN[1:]]))
        assert send(page).startswith("Refused at step a")
        assert text(page, "#graph b") == step["tool"]
        assert json.loads(text(page, "#graph code")) == step["args"]
        assert "<img src=x" in text(page, "#verdict")
    assert count(page, "img") == 0 and count(page, "script") == 1
    assert page.tell("document.title") == "builderbrain"


def test_nothing_comes_from_elsewhere_and_the_policy_holds(server, page):
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    home = str(server.client.base_url).rstrip("/")
    assert len(asked) >= 7
    assert all(url.startswith((home, "data:,", "about:")) for url in asked), asked
    # Markup from text, inline script and other servers are refused by the browser itself.
    assert page.tell(
        "(() => { try { document.body.innerHTML = '<p>' } catch (error) { return error.name } })()"
    ) == "TypeError"  # fmt: skip
    page.tell(
        "(() => { const one = document.createElement('style'); one.textContent = 'body{color:red}';"
        " document.head.append(one) })()"
    )
    assert page.tell("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    refused = "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)"
    assert page.tell(refused) == "TypeError"
    broken = page.complaints()
    assert sum("connect-src" in one for one in broken) == 1
    assert any("style-src" in one for one in broken)
    page.events.clear()  # these were meant


# -- for everybody ---------------------------------------------------------------------------

NAMED = """(() => [...document.querySelectorAll('input, select, textarea, button')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.labels?.length ? one.labels[0].textContent : one.textContent).trim())
  .map((one) => one.id))()"""

# WCAG 2: contrast of text and what is behind it, for each element that has text of its own.
CONTRAST = """(() => {
  const paint = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const colour = (css, under) => {
    paint.fillStyle = under; paint.fillRect(0, 0, 1, 1);
    paint.fillStyle = css; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const light = (rgb) => rgb.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#ffffff';
  const behind = (one) => {
    const stack = [];
    for (let at = one; at; at = at.parentElement) stack.unshift(getComputedStyle(at));
    return stack.reduce((under, css) => `rgb(${colour(css.backgroundColor, under)})`, canvas);
  };
  return [...document.querySelectorAll('body *')]
    .filter((one) => one.checkVisibility() && !one.disabled && !one.closest('.unseen, svg'))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => {
      const under = behind(one);
      const text = getComputedStyle(one).color;
      const [a, b] = [text, under].map((css) => light(colour(css, under)));
      return [one.outerHTML.slice(0, 60), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    }).filter(([, ratio]) => ratio < 4.5);
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_everything_is_named_and_can_be_read(server, opened, dark):
    page = opened(server, dark=dark)
    assert page.tell("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    assert page.tell(NAMED) == [] and page.tell(CONTRAST) == []
    fill(page, constraint="regex", constraint_text="ab[0-9]cd")
    send(page)
    page.tell("document.getElementById('decode').focus()")
    page.press("End")
    assert page.tell(CONTRAST) == []
    fill(page, kind="sent", plan=json.dumps([PLAN[0] | {"tool": "x"}, *PLAN[1:]]))
    send(page)
    assert page.tell(NAMED) == [] and page.tell(CONTRAST) == []
    fill(page, plan=json.dumps(PLAN), then="run")
    send(page)
    assert page.tell(NAMED) == [] and page.tell(CONTRAST) == []


def test_the_keyboard_reaches_everything_in_order(page):
    fill(page, constraint="regex", constraint_text="ab[0-9]cd")
    page.tell("document.activeElement.blur()")
    reached = []
    for _ in range(9):
        page.press("Tab")
        reached.append(page.tell("document.activeElement.id || document.activeElement.value"))
        assert page.tell("document.activeElement.matches(':focus-visible')")
        if reached[-1] == "send":
            page.press("Enter")
            assert ended(page) == "Complete."
    assert reached == [
        "text", "prompt", "constraint", "tokens", "temperature", "seed", "constraint-text", "send",
        "decode",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_sticks_out(server, opened, width):
    page = opened(server)
    page.size(width, 800, mobile=width < 500)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    fill(page, constraint="json")
    send(page)
    assert not page.tell(wide)
    long = [*PLAN[:2], PLAN[2] | {"args": {"order": "$b.id", "email": "a" * 300}}]
    fill(page, kind="sent", plan=json.dumps(long))
    send(page)
    assert states(page)[2] == "refused" and not page.tell(wide)
