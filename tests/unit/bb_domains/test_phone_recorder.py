"""Recordings: an executable that speaks like adb while somebody uses the phone; commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bb_core.errors import BBError
from bb_core.trace import load_traces
from bb_domains.phone import plan_schema
from bb_domains.phone.__main__ import app
from bb_domains.phone.adb import AdbDevice
from bb_domains.phone.elements import load_book
from bb_domains.phone.handset import BANK_PIN, make_handset
from bb_domains.phone.layouts import LAYOUTS
from bb_domains.phone.policies import POLICIES
from bb_domains.phone.recorder import load_macro, record
from bb_domains.phone.tree import write_dump

PHONE_S = 5000.0  # the phone's clock is this far behind

# The phone's screen is the first of its screens that the folder does not say has been left. A touch
# happens once its screen has been seen twice, and leads to the next screen.
SCRIPT = """#!{python} -IS
import pathlib, sys, time
root = pathlib.Path({root!r})
screens = sorted(root.glob("screen*.xml"))
at = lambda: next(s for s in screens if not (root / (s.name + ".left")).exists())
args, said = sys.argv[1:], sys.stdin.read() if sys.argv[1:] == ["shell"] else ""
if "uiautomator" in said:
    print(at().read_text() + "UI hierchary dumped to: /dev/tty")
    (root / (at().name + ".seen")).open("a").write("x")
elif "wm" in said:
    print("Physical size: 720x1280\\nOverride size: 1080x2280")
elif "getevent" in said:
    print((root / "axes").read_text())
elif args == ["get-state"]:
    print("device")
elif args == ["exec-out", "getevent", "-lt"]:
    print("add device 1: /dev/input/event2", flush=True)
    for screen in screens[:-1]:
        seen = root / (screen.name + ".seen")
        while not seen.exists() or seen.stat().st_size < 2:
            time.sleep(0.005)
        for line in (root / (screen.name + ".touch")).read_text().splitlines():
            stamp = time.monotonic() - {behind}
            print(f"[{{stamp:15.6f}}] /dev/input/event2: {{line}}", flush=True)
        (root / (screen.name + ".left")).touch()
    time.sleep(60)
"""
AXES = "ABS_MT_POSITION_{} : value 0, min 0, max {}, fuzz 0, flat 0, resolution 0"


def touch(point: tuple[int, int]) -> str:
    return "\n".join(
        [
            "EV_ABS ABS_MT_TRACKING_ID 00000001",
            f"EV_ABS ABS_MT_POSITION_X {point[0]:08x}",
            f"EV_ABS ABS_MT_POSITION_Y {point[1]:08x}",
            "EV_SYN SYN_REPORT 00000000",
            "EV_ABS ABS_MT_TRACKING_ID ffffffff",
            "EV_SYN SYN_REPORT 00000000",
        ]
    )


@pytest.fixture
def adb(tmp_path: Path) -> Path:
    """Somebody opens the bank, logs in, and asks for a new payment."""
    root = tmp_path / "phone"
    root.mkdir()
    phone = make_handset(LAYOUTS["plain"], POLICIES["open"], 1)
    (root / "axes").write_text("\n".join(AXES.format(*axis) for axis in (("X", 1079), ("Y", 2279))))
    shown = [("home", None), ("bank_lock", "bank_enter"), ("bank", "new_payment")]
    for i, (screen, element) in enumerate((*shown, ("payment_form", None))):
        phone.fields["bank_pin"] = BANK_PIN
        tree = phone.picture_of(screen)
        node = next((n for n in tree.walk() if n.name == element), tree)
        (root / f"screen{i}.xml").write_text(write_dump(tree))
        (root / f"screen{i}.xml.touch").write_text(touch(node.bounds.center))
    script = tmp_path / "adb"
    text = SCRIPT.format(python=sys.executable, root=str(root), behind=PHONE_S)
    script.write_text(text)
    script.chmod(0o755)
    return script


@pytest.mark.slow
def test_a_recording_becomes_a_trace(
    adb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BB_PHONE_ADB", str(adb))
    folder = tmp_path / "monday"
    done = CliRunner().invoke(app, ["record", str(folder), "--seconds", "3"])
    assert done.exit_code == 0, done.output
    assert (folder / "size.txt").read_text() == "1080 2280\n"
    assert len(list((folder / "frames").iterdir())) == 4
    found = load_macro(folder, plan_schema(), load_book())
    assert [s.tool for s in found.steps] == ["wake", "open_bank", "log_in", "new_payment"]
    # What was touched while the PIN was hidden is not kept: the touch on the bank's button.
    assert (folder / "events.txt").read_text().count("TRACKING_ID 00000001") == 1
    read = CliRunner().invoke(app, ["read", str(folder), "--request", "open a payment"])
    assert read.exit_code == 0, read.output
    (tmp_path / "traces.jsonl").write_text(read.stdout)
    (trace,) = load_traces(tmp_path / "traces.jsonl")
    assert trace.request == "open a payment" and trace.domain == "phone"
    assert not any(BANK_PIN in path.read_text() for path in folder.rglob("*.*"))


def test_a_phone_that_nobody_uses_is_said(adb: Path, tmp_path: Path) -> None:
    for path in (adb.parent / "phone").glob("*.touch"):
        path.write_text("")
    with pytest.raises(BBError, match="nothing was touched"):
        record(AdbDevice(str(adb), settle_s=0), 0.1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "axes.txt").write_text("\n".join(AXES.format(axis, 9) for axis in "XY"))
    (tmp_path / "size.txt").write_text("wide")
    with pytest.raises(BBError, match="is no size; write width and height"):
        load_macro(tmp_path, plan_schema(), load_book())
    (tmp_path / "size.txt").write_text("10 10")
    (tmp_path / "events.txt").write_text("")
    with pytest.raises(BBError, match="holds no frames"):
        load_macro(tmp_path, plan_schema(), load_book())
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "one.xml").write_text("")
    with pytest.raises(BBError, match="is no frame; name it by its milliseconds"):
        load_macro(tmp_path, plan_schema(), load_book())


def test_commands_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BB_PHONE_ADB", raising=False)
    assert "is not set" in str(CliRunner().invoke(app, ["record", "x"]).exception)
    assert "no screen 'moon'" in str(CliRunner().invoke(app, ["draw", "moon"]).exception)
    drawn = CliRunner().invoke(app, ["draw", "bank", "--layout", "small"])
    assert drawn.exit_code == 0 and "new_payment" in drawn.stdout
