"""A run that is killed at its n-th point and resumed, for every n; prints what the world has seen.

    python crashing.py FOLDER MODE FIRST STRIDE

MODE is `done` (all steps succeed) or `undone` (the last is refused). Every entry of the log, every
write to the journal and every call has a point before and after it. The world is an SQLite file:
what it was asked to do stays there whatever becomes of the process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from bb_core.plan import parse_plan
from bb_domains.domain import make_domain
from bb_domains.schema import load_schema, parse_schema, schema_data
from bb_domains.tools import ToolFailed
from bb_runtime import carrier
from bb_runtime.check import check_plan
from bb_runtime.execute import execute, resume
from bb_runtime.journal import Journal, journal_path
from bem_kernel.ledger.chain import Ledger, read_entries, verify

SHOP = Path(__file__).parents[2] / "unit" / "bb_runtime" / "shop" / "plan_schema.yaml"
STEPS = [
    ("login", {}),
    ("get_order", {"number": 1042}),
    ("get_order", {"number": 1043}),
    ("change_city", {"order": "$b.id", "city": "Bern"}),
    ("change_city", {"order": "$c.id", "city": "Chur"}),
    ("confirm_owner", {"order": "$b.id", "email": "ana@example.com"}),
    ("find_customer", {"email": "ana@example.com"}),
    ("add_note", {"customer": "$g.id", "tag": "vip"}),
    ("refund_order", {"order": "$b.id", "amount": 12, "reason": "late"}),
]
PLAN = parse_plan(
    json.dumps(
        {
            "plan": [
                {"id": "abcdefghi"[i], "tool": tool, "args": args}
                for i, (tool, args) in enumerate(STEPS)
            ]
        }
    )
)


def crash_domain():
    """The shop with one tool of each kind: with a key, with a probe, with an undo."""
    data = schema_data(load_schema(SHOP))
    data["limits"] = {"max_steps": 12, "max_string": 40, "at_once": 3}
    tools = data["tools"]
    tools["change_city"]["undo"] = {
        "tool": "change_city",
        "args": {"order": "order.id", "city": "order.city"},
    }
    tools["add_note"] |= {
        "probe": {
            "tool": "find_customer",
            "args": {"email": "customer.email"},
            "happened": "result.tag == tag",
        },
        "undo": {"tool": "add_note", "args": {"customer": "customer.id", "tag": '"fraud_watch"'}},
    }
    return make_domain(parse_schema(data))


class World:
    """Does what it is asked, at once and for good; a login is for one process."""

    def __init__(self, folder: Path, mode: str, point) -> None:
        self._path, self._mode, self._point = folder / "world.db", mode, point
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS done (tool, args, key)")
        self._logged_in = False

    def _open(self):
        return sqlite3.connect(self._path, timeout=10)

    def done(self):
        """Everything that was ever done, in order."""
        with self._open() as db:
            return [tuple(row) for row in db.execute("SELECT tool, args, key FROM done")]

    def call(self, tool, args, idempotency_key=None):
        self._point()
        answer = self._answer(tool, dict(args), idempotency_key)
        self._point()
        return answer

    def _answer(self, tool, args, key):
        if tool == "login":
            self._logged_in = True
            return {}
        if not self._logged_in:
            raise ToolFailed(tool, 401, "log in first")
        done = self.done()
        if tool == "get_order":
            order = f"o{args['number']}"
            moves = [json.loads(a) for t, a, _ in done if t == "change_city"]
            cities = [move["city"] for move in moves if move["order"] == order]
            return {"id": order, "total": 100.0, "city": cities[-1] if cities else "Basel"}
        if tool == "find_customer":
            tags = [json.loads(a)["tag"] for t, a, _ in done if t == "add_note"]
            return {"id": "c1", "email": args["email"], "tag": tags[-1] if tags else None}
        if tool == "confirm_owner":
            return {}
        if tool == "refund_order" and self._mode == "undone":
            raise ToolFailed(tool, 409, "refunded already")
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            if key is None or (key,) not in db.execute("SELECT key FROM done").fetchall():
                db.execute("INSERT INTO done VALUES (?, ?, ?)", (tool, json.dumps(args), key))
        return {}


class Points:
    """Kills the process at one of its points."""

    def __init__(self, at: int | None) -> None:
        self.at, self.passed = at, 0

    def __call__(self) -> None:
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1

    def around(self, owner: type, name: str) -> None:
        inner = getattr(owner, name)

        def outer(*args, **kwargs):
            self()
            found = inner(*args, **kwargs)
            self()
            return found

        setattr(owner, name, outer)


def attempt(folder: Path, mode: str, domain, at: int | None) -> None:
    """One process: runs the plan, or resumes it where there is a run, with what is known."""
    points = Points(at)
    for name in ("begin", "call", "answer", "settle", "forget"):
        points.around(Journal, name)
    points.around(Ledger, "append")
    world = World(folder, mode, points)
    with Ledger(folder / "x.ledger") as ledger:
        with Journal(journal_path(ledger.path)) as journal:
            runs = journal.runs()
        if not runs:
            done = execute(domain, PLAN, check_plan(domain, PLAN), world, ledger)
        elif runs[-1].plan is None:
            return
        else:
            with Journal(journal_path(ledger.path)) as journal:
                calls = journal.find().calls
            # Long after the crash: a probe that finds nothing is believed then.
            carrier.time = SimpleNamespace(time=lambda: time.time() + 60, sleep=time.sleep)
            words = {name: told(world, name) for name, r in calls.items() if asked(name, r)}
            done = resume(domain, runs[-1].run, world, ledger, words=words)
        assert done.status == mode, done


def asked(name: str, record) -> bool:
    tool = dict(zip("abcdefghi", (tool for tool, _ in STEPS), strict=True))[name[-1]]
    unknown = record.status == "called" or record.unknown
    return unknown and (tool == "change_city" or name == "undo:h")


def told(world: World, name: str) -> bool:
    """What somebody who looks at the world says."""
    city = {"d": "Bern", "e": "Chur", "undo:d": "Basel", "undo:e": "Basel"}.get(name)
    order = {"d": "o1042", "e": "o1043"}.get(name[-1])
    wanted = {"order": order, "city": city}
    if name == "undo:h":
        wanted = {"customer": "c1", "tag": "fraud_watch"}
    return any(json.loads(args) == wanted for _, args, _ in world.done())


def child(*args) -> int:
    """Run `attempt` in a process of its own; its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            attempt(*args)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def crash_and_resume(folder: Path, mode: str, domain, at: int, chance: random.Random) -> dict:
    """Kill at a point, kill the resumed run at another, then let it go on to its end."""
    folder.mkdir()
    first = child(folder, mode, domain, at)
    second = child(folder, mode, domain, chance.randrange(40)) if first else 0
    last = child(folder, mode, domain, None)
    log = folder / "x.ledger"
    entries = list(read_entries(log))
    return {
        "at": at,
        "killed": [os.WIFSIGNALED(first), os.WIFSIGNALED(second)],
        "last": last,
        "done": World(folder, mode, lambda: None).done(),
        "log": verify(log).ok,
        "end": next((e["status"] for e in reversed(entries) if e["event"] == "end"), None),
        "secret": b"ana@example.com" in log.read_bytes()
        or any(b"ana@example.com" in p.read_bytes() for p in folder.glob("x.journal*")),
    }


def main() -> None:
    folder, mode, first, stride = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5])
    domain, chance = crash_domain(), random.Random(first)
    check_plan(domain, PLAN)
    for at in range(first, 10_000, stride):
        found = crash_and_resume(folder / str(at), mode, domain, at, chance)
        print(json.dumps(found), flush=True)
        if not found["killed"][0]:
            return


if __name__ == "__main__":
    main()
