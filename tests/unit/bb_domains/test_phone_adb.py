"""The phone behind adb: an executable that speaks like adb, with a handset in memory behind it."""

from __future__ import annotations

import json
import shlex
import socketserver
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_domains.domain import load_domain
from bb_domains.kit import open_adapters
from bb_domains.phone import adb as adb_module
from bb_domains.phone import plan_schema, requests, simulator
from bb_domains.phone.adb import AdbDevice
from bb_domains.phone.connect import open_phone
from bb_domains.phone.handset import Handset, make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.simulated import SECRETS
from bb_domains.phone.tree import write_dump
from bb_domains.simulation import Request, try_plan
from bb_domains.tools import ToolFailed

SCRIPT = """#!{python} -IS
import json, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect({path!r})
    s.sendall(json.dumps([sys.argv[1:], sys.stdin.read()]).encode() + b"\\n")
    answer = b""
    while part := s.recv(65536):
        answer += part
code, out, err = json.loads(answer)
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
TYPO = "UI hierchary dumped to: /dev/tty"  # as Android spells it


@dataclass
class FakeAdb:
    """What the executable asks: one phone with a serial number."""

    phone: Handset
    serial: str = "emulator-5554"
    commands: list[str] = field(default_factory=list)
    arguments: list[list[str]] = field(default_factory=list)
    busy: int = 0  # dumps that fail because something moves

    def answer(self, args: list[str], stdin: str) -> tuple[int, str, str]:
        self.arguments.append(args)
        if args[:1] == ["-s"]:
            if args[1] != self.serial:
                return 1, "", f"adb: device '{args[1]}' not found\n"
            args = args[2:]
        if args == ["get-state"]:
            return 0, "device\n", ""
        assert args == ["shell"]
        for line in stdin.splitlines():
            self.commands.append(line)
            code, out = self.shell(shlex.split(line))
        return code, out, ""

    def shell(self, words: list[str]) -> tuple[int, str]:
        match words:
            case ["uiautomator", "dump", "/dev/tty"] if self.busy > 0:
                self.busy -= 1
                return 0, "ERROR: could not get idle state.\n"
            case ["uiautomator", "dump", "/dev/tty"]:
                return 0, write_dump(self.phone.dump()) + TYPO + "\n"
            case ["input", "tap", x, y]:
                self.phone.tap((int(x), int(y)))
            case ["input", "swipe", *numbers]:
                x1, y1, x2, y2, _ = map(int, numbers)
                self.phone.swipe((x1, y1), (x2, y2))
            case ["input", "text", text]:
                self.phone.text(text.replace("%s", " "))
            case ["input", "keyevent", *keys]:
                for key in keys:
                    self.phone.key(key.removeprefix("KEYCODE_"))  # type: ignore[arg-type]
            case ["monkey", "-p", package, "-c", "android.intent.category.LAUNCHER", "1"]:
                try:
                    self.phone.launch(package)
                except BBError:
                    return 252, "** No activities found to run, monkey aborted.\n"
                return 0, "Events injected: 1\n## Network stats: elapsed time=20ms\n"
            case _:
                return 127, f"/system/bin/sh: {words[0]}: inaccessible or not found\n"
        return 0, ""


@dataclass
class Connected:
    fake: FakeAdb
    path: Path

    @property
    def device(self) -> AdbDevice:
        return AdbDevice(str(self.path), self.fake.serial, settle_s=0)


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connected]:
    fake = FakeAdb(make_handset(LAYOUTS["plain"], POLICIES["open"], 1))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            args, stdin = json.loads(self.rfile.readline())
            self.wfile.write(json.dumps(fake.answer(args, stdin)).encode())

    monkeypatch.setattr(adb_module, "SETTLE_S", 0.0)
    path, script = tmp_path / "s", tmp_path / "adb"
    script.write_text(SCRIPT.format(python=sys.executable, path=str(path)))
    script.chmod(0o755)
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Connected(fake, script)
        server.shutdown()
        thread.join()


def first(layout: str, policy: str) -> Request:
    split = "unseen_layouts" if layout in ("small", "dense") else "train"
    return next(
        r
        for r in requests(split, 400, 2)
        if (r.layout, r.policy) == (layout, policy)
        and (len(r.plan.steps) > 6) == (policy != "locked")  # one short plan is enough for that
    )


@pytest.mark.parametrize(
    ("layout", "policy"),
    [
        ("old", "locked"),
        pytest.param("old", "bank_asks", marks=pytest.mark.slow),
        pytest.param("small", "messages_ask", marks=pytest.mark.slow),
        pytest.param("toolbar", "locked", marks=pytest.mark.slow),
        pytest.param("dense", "calendar_asks", marks=pytest.mark.slow),
    ],
)
def test_a_plan_does_on_the_phone_what_it_does_in_the_simulator(
    layout: str, policy: str, connected: Connected
) -> None:
    request = first(layout, policy)
    phone = simulator(request)
    connected.fake.phone = phone.phone.copy()
    connected.fake.busy = 2
    environment = {"BB_PHONE_ADB": str(connected.path), "BB_PHONE_SERIAL": "emulator-5554"}
    schema = plan_schema()
    with open_phone(schema, {**environment, **SECRETS}) as adapters:
        results = {}
        for step in request.plan.steps:
            handles = schema.tools[step.tool].handles
            args = {
                name: results[value[1]]["id"] if name in handles else value
                for name, value in step.args.items()
            }
            results[step.id] = adapters.call(step.tool, args)
    assert try_plan(phone, request.plan).done
    assert connected.fake.phone.changes == phone.phone.changes != []


def test_what_is_typed_is_quoted_and_never_an_argument(connected: Connected) -> None:
    fake, device = connected.fake, connected.device
    fake.phone.key("WAKEUP")
    device.launch("org.example.contacts")
    field = next(n for n in fake.phone.dump().walk() if n.name == "search_contacts")
    device.tap(field.bounds.center)
    text = "a b; rm -rf / $(id) `id` \"q\" 'p' & | < > 100%s % \\ * ~ !"
    device.text(text)
    assert fake.phone.fields["search_contacts"] == text
    assert not any("rm" in word for args in fake.arguments for word in args)
    with pytest.raises(BBError, match="printable ASCII only"):
        device.text("tomorrow\ninput tap 1 1")
    with pytest.raises(BBError, match="printable ASCII only"):
        device.text("é")


def test_the_pin_is_in_no_argument(connected: Connected) -> None:
    connected.fake.phone = make_handset(LAYOUTS["plain"], POLICIES["locked"], 1)
    environment = {"BB_PHONE_ADB": str(connected.path), **SECRETS}
    with open_adapters(load_domain("bb_domains/phone"), environment) as adapters:
        assert adapters.call("wake", {}) == {"locked": True}
        adapters.call("unlock", {})
        adapters.call("open_bank", {})
        adapters.call("log_in", {})
    assert connected.fake.phone.screen == "bank"
    assert not any(pin in repr(connected.fake.arguments) for pin in SECRETS.values())


def test_keys_and_apps(connected: Connected) -> None:
    device, phone = connected.device, connected.fake.phone
    device.check()
    device.key("WAKEUP")
    device.key("DEL", 0)
    assert connected.fake.commands == ["input keyevent KEYCODE_WAKEUP"]
    with pytest.raises(BBError, match="exit code 252"):
        device.launch("org.example.games")
    with pytest.raises(BBError, match="is no package"):
        device.launch("x; reboot")
    device.launch("org.example.settings")
    device.swipe((500, 1500), (500, 700))
    assert phone.screen == "settings"


def test_what_goes_wrong_with_adb_is_said(
    connected: Connected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BBError, match="device 'other' not found"):
        AdbDevice(str(connected.path), "other").check()
    with pytest.raises(BBError, match="is no serial number"):
        AdbDevice(str(connected.path), "-H evil")
    with pytest.raises(BBError, match="cannot be run: No such file"):
        AdbDevice(str(tmp_path / "none")).check()
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 5\n")
    slow.chmod(0o755)
    with pytest.raises(BBError, match=r"took longer than 0\.05 s"):
        AdbDevice(str(slow), timeout_s=0.05).check()
    connected.fake.phone.key("WAKEUP")
    connected.fake.busy = 99
    with pytest.raises(BBError, match="could not get idle state"):
        connected.device.dump()
    monkeypatch.setattr(FakeAdb, "shell", lambda *_: (0, "<?xml?><!DOCTYPE a></hierarchy>"))
    with pytest.raises(BBError, match="ui dump"):
        connected.device.dump()


def test_without_a_pin_the_phone_stays_locked(connected: Connected) -> None:
    connected.fake.phone = make_handset(LAYOUTS["plain"], POLICIES["locked"], 1)
    with open_phone(plan_schema(), {"BB_PHONE_ADB": str(connected.path)}) as adapters:
        adapters.call("wake", {})
        with pytest.raises(ToolFailed, match="needs BB_PHONE_PIN"):
            adapters.call("unlock", {})
    assert connected.fake.phone.locked


def test_without_adb_the_phone_is_simulated() -> None:
    with open_phone(plan_schema(), {}) as adapters:
        assert adapters.call("wake", {}) == {"locked": False}
        assert adapters.call("open_bank", {}) == {"screen": "bank_lock", "asks": ""}
