"""Secrets and private values through a whole life of plans, searched for everywhere afterwards.

Each has a name of its own, so that what is found says whence it came. What is allowed:

- the service gets the secrets that it asks for, and its own token;
- who asked for a plan gets its private arguments and results back, in the answer to the same key;
- while a run may have to go on, its journal holds plan and answers as they are, for the owner only;
- the file of the log's key and the service's own memory are not looked at.

Nobody else, nowhere else, and no longer.
"""

from __future__ import annotations

import base64
import json
import stat
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bb_core.plan import parse_plan
from bb_core.store import Store
from bb_domains.domain import make_domain
from bb_domains.kit import open_adapters
from bb_domains.privacy import Redactor, load_log_key
from bb_domains.recording import Exchange, Recorder
from bb_domains.schema import parse_schema
from bb_runtime.check import check_plan
from bb_runtime.engine import Engine
from bb_runtime.execute import execute, resume
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import Key, Keys, key_hash, save_keys
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner
from bb_runtime.http.serve import _logging
from bb_runtime.journal import open_journal
from bem_kernel.ledger.chain import Ledger, verify

PASSWORD, USER = "CanaryPassword-4f1e", "canary-user-77aa"
BEARER = "CanaryBearer_9d2c81"
API_KEY, OTHER_KEY = "bb-CanaryKey-5b0c", "bb-CanaryOther-6c1d"
SECRETS = (PASSWORD, USER, BEARER, API_KEY, OTHER_KEY)

IBAN, WORDS = "DE75CANARY0012451261", "canary words of hers"  # arguments
NAME, PHONE, STREET, NUMBER = "Canary Holm", "+49-151-5550199", "Canarygasse 7", 76543210
PRIVATE = (IBAN, WORDS, NAME, PHONE, STREET, str(NUMBER))

READ = {"effect": "read"}
TOOLS = {
    "login": {
        "operation": {"method": "POST", "path": "/login"}, "effect": "session",
        "pre": "!logged_in", "effects": ["logged_in"],
        "secrets": {"user": "CANARY_USER", "password": "CANARY_PASSWORD"},
    },
    "find": {
        "operation": {"method": "GET", "path": "/people/{n}"}, "places": {"n": "path"},
        "args": {
            "type": "object", "required": ["n"],
            "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
        },
        "binds": {"object": "person", "key": "n"}, "pre": "logged_in", "effect": "read",
        "private": ["name", "phones", "home", "number"],
    },
    "note": {
        "operation": {"method": "POST", "path": "/people/{person}/notes", "body": "json"},
        "places": {"person": "path", "text": "body"},
        "args": {
            "type": "object", "required": ["person", "text"],
            "properties": {"person": {"type": "string"}, "text": {"type": "string"}},
        },
        "handles": {"person": {"object": "person"}}, "private": ["text"], "timeout_s": 0.5,
    },
    "pay": {
        "operation": {"method": "POST", "path": "/people/{person}/pay", "body": "json"},
        "places": {"person": "path", "iban": "body", "secret": "query"},
        "args": {
            "type": "object", "required": ["person", "iban"],
            "properties": {"person": {"type": "string"}, "iban": {"type": "string"},
                           "secret": {"type": "string"}},
        },
        "handles": {"person": {"object": "person"}}, "private": ["iban"], "idempotent": True,
    },
}  # fmt: skip
STEPS = [
    {"id": "a", "tool": "login", "args": {}},
    {"id": "b", "tool": "find", "args": {"n": 7}},
    {"id": "c", "tool": "note", "args": {"person": "$b.id", "text": WORDS}},
    {"id": "d", "tool": "pay", "args": {"person": "$b.id", "iban": IBAN}},
]


class World:
    """A service that repeats what it was told wherever it can."""

    def __init__(self):
        self.mode, self.exchanges, self.released = "well", [], threading.Event()
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers.get("content-length", 0))))

            def answer(self, body):
                status, found = world.answer(self.path, body)
                content = json.dumps(found).encode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                told = (self.command, self.path, "", headers, body, status, content, 0.01)
                world.exchanges.append(Exchange(*told))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path, body):
        everything = " / ".join([*SECRETS[:3], *PRIVATE])
        if path == "/login":
            if self.mode == "no login":
                return 401, {"reason": f"wrong: {body.decode()} {PASSWORD} {USER}"}
            return 200, {"token": BEARER, "again": f"{PASSWORD} {BEARER}", "user": USER}
        if path.startswith("/people/") and body == b"":
            return 200, {
                "id": "p7", "name": NAME, "phones": [PHONE, {"work": PHONE}], "number": NUMBER,
                "home": {"street": STREET, STREET: [STREET]}, "city": f"near {STREET}",
                "session": {"token": BEARER}, "echo": PASSWORD,
            }  # fmt: skip
        if self.mode == "refuse":
            return 409, {"reason": f"cannot: {everything}"}
        if self.mode == "break":
            return 500, {"reason": f"broken: {everything}"}
        if self.mode == "hang" and path.endswith("notes"):
            self.released.wait(30)
        return 200, {"ok": True, "echo": body.decode(), "name": NAME}

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture
def domain(world):
    return make_domain(
        parse_schema(
            {
                "domain": "people",
                "service": {
                    "base_url": world.address,
                    "hosts": ["127.0.0.1"],
                    "bearer": {"tool": "login", "field": "token"},
                },
                "limits": {"max_steps": 6, "max_string": 40},
                "objects": {"person": {"slots": 2}},
                "fluents": {"logged_in": []},
                "tools": TOOLS,
            }
        )
    )


@pytest.fixture
def environment(monkeypatch):
    known = {"CANARY_USER": USER, "CANARY_PASSWORD": PASSWORD}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    return known


@pytest.fixture(scope="module")
def engine_parts():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<end>", *alphabet])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            pre_tokenizers.Split("", "isolated"),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=4096, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


class Life:
    """A server, what it has answered to whom, and what it has logged."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder
        self.owner, self.others = [], []  # bytes of answers

    def ask(self, method, path, key=API_KEY, **body):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = self.client.request(method, path, headers=headers, json=body or None)
        kept = self.owner if key == API_KEY else self.others
        kept.append(answer.content + repr(dict(answer.headers)).encode())
        return answer

    def run(self, steps=STEPS, status="done", **more):
        answer = self.ask("POST", "/v1/plans", plan=steps, run=True, **more)
        found = answer.json()
        assert found.get("status", answer.status_code) == status, found
        return found


@contextmanager
def living(engine_parts, domain, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    keys = [
        Key(name="mine", sha256=key_hash(API_KEY), domains=("people",), run=True),
        Key(name="other", sha256=key_hash(OTHER_KEY), domains=("people",), run=True),
    ]
    save_keys(folder / "keys.yaml", keys)
    engine = Engine(*engine_parts, "tiny")
    planner = Planner(engine, [domain], folder / "plans.ledger")
    app = create_app(
        engine, ServerLimits(max_new_tokens=400, hosts=("testserver",)), planner=planner,
        keys=Keys({key.sha256: key for key in keys}), feedback=Store(folder / "store"),
    )  # fmt: skip
    with _logging(), TestClient(app) as client:
        yield Life(client, folder)


def forms(text):
    """How a value could be written."""
    raw = text.encode()
    yield from (raw, quote(text).encode(), json.dumps(text)[1:-1].encode(), raw.hex().encode())
    for start in range(3):  # wherever in the base64 it stands
        whole = base64.b64encode(b"x" * start + raw)
        yield whole[4 if start else 0 : len(whole) - 4]


def leaks(content, values):
    return [value for value in values if any(form in content for form in forms(value))]


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_files(folder, *, open_runs=False):
    """No file holds a secret; none a private value, but for the journal while a run is open."""
    for path, content in files(folder).items():
        assert leaks(content, SECRETS) == [], path
        if ".journal" in path.name and open_runs:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        else:
            assert leaks(content, PRIVATE) == [], (path, content)


def check_answers(life):
    assert leaks(b"\n".join(life.owner), SECRETS) == []
    assert leaks(b"\n".join(life.others), SECRETS + PRIVATE) == []


def look_around(life):
    """What everybody may look at, and what the owner may."""
    for key in (API_KEY, OTHER_KEY, None, "bb-nothing"):
        for path in ("/metrics", "/page-data", "/health", "/", "/v1/models", "/v1/plans"):
            life.ask("GET", path, key)
    for run in life.ask("GET", "/v1/plans", OTHER_KEY).json()["data"]:
        assert life.ask("GET", f"/v1/plans/{run['run']}", OTHER_KEY).status_code == 200
        life.ask("GET", f"/v1/plans/{run['run']}/events", OTHER_KEY)


def test_a_whole_life_leaves_no_secret_and_nothing_private(
    engine_parts, domain, environment, tmp_path, world, capfd
):
    with living(engine_parts, domain, tmp_path) as life:
        live(life, world)
    printed = capfd.readouterr()
    lines = (printed.out + printed.err).encode()
    assert lines.count(b'"route"') > 30  # the log is there
    assert leaks(lines, SECRETS + PRIVATE) == []
    check_answers(life)
    check_files(life.folder, open_runs=True)
    assert verify(life.folder / "plans.ledger").ok
    with open_journal(life.folder / "plans.ledger") as journal:
        kept = journal.runs()
        assert {record.status for record in kept} == {"done", "failed", "in_doubt"}
        assert all((record.plan is None) == (record.status == "done") for record in kept)
        for record in kept:
            journal.forget(record.run)
    check_files(life.folder)
    for name in ("plans.key", "keys.yaml"):
        assert stat.S_IMODE((life.folder / name).stat().st_mode) == 0o600


def live(life, world):
    asked = life.ask("POST", "/v1/plans", request="Please look somebody up")
    assert asked.json()["status"] == "checked", asked.text

    done = life.run()
    shown = json.dumps(done)
    assert NAME in shown and IBAN in shown  # to whom it belongs
    life.ask("GET", f"/v1/plans/{done['id']}")
    life.ask("GET", f"/v1/plans/{done['id']}/events")
    for path in ("", "/events", "/resume"):
        method = "POST" if path == "/resume" else "GET"
        assert life.ask(method, f"/v1/plans/{done['id']}{path}", OTHER_KEY).status_code >= 400

    life.run([*STEPS[:1], STEPS[3]], status=422)  # refused: what it pays for was never found
    life.run([*STEPS[:3], STEPS[3] | {"args": {"person": "$b.id", "iban": NAME * 20}}], status=422)
    look_around(life)
    check_files(life.folder)

    for mode, status in (("refuse", "failed"), ("no login", "failed"), ("break", "in_doubt")):
        world.mode = mode
        ended = life.run(status=status)
        assert "…" in ended["execution"]["reason"]  # where the secrets were
        look_around(life)
        check_files(life.folder, open_runs=True)
    world.mode = "hang"
    hung = life.run(status="in_doubt")
    assert "no answer within 0.5 s" in hung["execution"]["reason"]
    world.mode = "well"
    world.released.set()

    run = hung["execution"]["run"]
    told = life.ask("POST", f"/v1/plans/{run}/resume", OTHER_KEY, happened={"c": True})
    assert told.json()["status"] == "done", told.text
    look_around(life)

    life.ask("POST", "/v1/feedback", id=done["id"], verdict="bad", comment="wrong person")
    completion = life.ask("POST", "/v1/completions", prompt=f"{WORDS} {IBAN}", max_tokens=2)
    life.ask("POST", "/v1/feedback", id=completion.json()["id"], verdict="good")
    life.client.get(f"/v1/plans?api_key={API_KEY}&text={IBAN}")
    life.client.get(f"/nowhere/{quote(IBAN)}/{quote(NAME)}")


class Crashed(BaseException):
    """The process ends here."""


@contextmanager
def crashing(domain, at):
    """The domain's adapters; at a tool, the process ends."""

    class Crashing:
        def __init__(self, inner):
            self.inner = inner

        def call(self, tool, args, idempotency_key=None):
            answer = self.inner.call(tool, args, idempotency_key)
            if tool == at:
                raise Crashed
            return answer

    with open_adapters(domain) as adapters:
        yield Crashing(adapters)


@pytest.mark.parametrize("at", ["login", "find", "pay"])
def test_a_run_that_crashes_and_goes_on_leaves_nothing(domain, environment, tmp_path, at, world):
    plan = parse_plan(json.dumps({"plan": STEPS}))
    log = tmp_path / "plans.ledger"
    with Ledger(log) as ledger, crashing(domain, at) as adapters, pytest.raises(Crashed):
        execute(domain, plan, check_plan(domain, plan), adapters, ledger)
    check_files(tmp_path, open_runs=True)
    journal = (tmp_path / "plans.journal").read_bytes()
    wal = tmp_path / "plans.journal-wal"
    assert leaks(journal + (wal.read_bytes() if wal.exists() else b""), [IBAN])  # it must go on
    world.mode = "refuse"
    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        ended = resume(domain, "", adapters, ledger)
    assert ended.status == "failed"
    check_files(tmp_path, open_runs=True)
    world.mode = "well"
    with Ledger(log) as ledger, open_adapters(domain) as adapters:
        assert resume(domain, "", adapters, ledger).status == "done"
    check_files(tmp_path)


def test_a_recorder_keeps_neither(domain, environment, tmp_path, world):
    plan = parse_plan(json.dumps({"plan": STEPS}))
    with Ledger(tmp_path / "x.ledger") as ledger, open_adapters(domain) as adapters:
        for mode in ("well", "refuse"):
            world.mode = mode
            execute(domain, plan, check_plan(domain, plan), adapters, ledger)
    redactor = Redactor(load_log_key(tmp_path / "traces.key"))
    recorder = Recorder(domain.schema, tmp_path / "traces.jsonl", redactor)
    for i, exchange in enumerate(world.exchanges):
        recorder.add(exchange, float(i))
    recorder.close()
    assert recorder.written and '"pay"' in (tmp_path / "traces.jsonl").read_text()
    text = (tmp_path / "traces.jsonl").read_bytes()
    assert leaks(text, (PASSWORD, BEARER, IBAN, WORDS, NAME, PHONE, STREET, str(NUMBER))) == []
