"""Golden files: a new domain passes them, a changed meaning fails them with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bb_core.cli import run_app
from bb_core.errors import BBError, UsageError
from bb_domains.cli import app
from bb_domains.domain import load_domain, make_domain, save_domain, schema_path
from bb_domains.fingerprints import normal_form
from bb_domains.golden import check_golden, check_simulator, write_golden
from bb_domains.scaffold import TEMPLATE, new_domain
from bb_domains.schema import load_schema
from bb_domains.simulation import SPLITS
from bb_domains.verdicts import judge


def bb_domain(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "bb domain", [str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.fixture
def doors(tmp_path: Path) -> Path:
    new_domain("doors", tmp_path / "doors")
    return tmp_path / "doors"


def edited(root: Path, old: str, new: str) -> None:
    """Change the schema and what is generated from it, as an author does."""
    path = schema_path(root)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    save_domain(make_domain(load_schema(path), root), root)


def test_a_new_domain_works_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "greenhouse"
    assert bb_domain("new", "greenhouse", "--out", root) == 0
    assert load_domain(root).name == "greenhouse"
    assert bb_domain("test", root) == 0
    assert "greenhouse: 0 faults; golden plans judged, requests tried" in capsys.readouterr().out
    assert not [path for path in root.rglob("*") if path.name == "__pycache__"]
    assert bb_domain("new", "greenhouse", "--out", root) == 2
    assert "is there already" in capsys.readouterr().err


def test_names_of_domains_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'Green House' is no name of a domain; use small"):
        new_domain("Green House", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_every_verdict_kind_is_among_the_golden_plans(doors: Path) -> None:
    plans = json.loads((doors / "golden/plans.json").read_text())
    assert len([p for p in plans if p["verdict"]["accepted"]]) >= 2 * len(SPLITS)
    refused = [p["verdict"] for p in plans if not p["verdict"]["accepted"]]
    assert len(refused) >= 3
    assert all(verdict["rule"] for verdict in refused)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("pre: unlocked(door) & !opened(door)", 'pre: "!opened(door)"', "tools.open.pre", "was "),
        ("effects: [announced(door)]", "effects: []", "tools.announce.effects", "is gone: "),
        ("maximum: 499", "maximum: 498", "tools.find_door.args", "was "),
        ("min_steps: 3", "min_steps: 2", "whole.graph.min_steps", "was 3, is 2"),
        ("enum: [soft, loud]", "enum: [soft]", "grammar", "was "),
        ('guards: ["door.locked == true"]', "guards: []", "tools.unlock.guards", "is gone: "),
        ("never: opened(d) & !unlocked(d)", "never: opened(d)", "whole.invariants.not", "was "),
    ],
)
def test_a_changed_meaning_is_found(doors: Path, old: str, new: str, where: str, what: str) -> None:
    edited(doors, old, new)
    faults = check_golden(load_domain(doors), doors / "golden")
    assert any(where in fault.where and fault.what.startswith(what) for fault in faults)


def test_a_changed_precondition_changes_verdicts_too(doors: Path) -> None:
    edited(doors, "pre: unlocked(door) & !opened(door)", 'pre: "!opened(door) & announced(door)"')
    faults = check_golden(load_domain(doors), doors / "golden")
    assert any(fault.where.startswith("plans.json: ") for fault in faults)
    assert check_simulator(load_domain(doors), 5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pre: unlocked(door) & !opened(door)", 'pre: "!opened(door) & unlocked(door)"'),
        ("pre: unlocked(door) & !opened(door)", 'pre: "!(opened(door) | !unlocked(door))"'),
        ("description: Open an unlocked door.", "description: Open it."),
    ],
)
def test_other_words_for_the_same_are_no_fault(doors: Path, old: str, new: str) -> None:
    edited(doors, old, new)
    assert check_golden(load_domain(doors), doors / "golden") == []


def test_write_renews_and_keeps_plans(doors: Path) -> None:
    mine = {"name": "mine", "plan": {"plan": []}, "verdict": {"accepted": True}}
    (doors / "golden/plans.json").write_text(json.dumps([mine]))
    domain = load_domain(doors)
    (fault,) = check_golden(domain, doors / "golden")
    assert fault.where == "plans.json: mine"
    assert fault.what.startswith('expected {"accepted": true}, found {"accepted": false')
    assert write_golden(domain, doors / "golden") == 1
    assert check_golden(domain, doors / "golden") == []
    (kept,) = json.loads((doors / "golden/plans.json").read_text())
    assert kept["name"] == "mine"


def test_missing_and_foreign_files_are_named(doors: Path) -> None:
    (doors / "golden/plans.json").write_text("{}")
    with pytest.raises(BBError, match=r"plans.json: is no list; bb domain test --write"):
        check_golden(load_domain(doors), doors / "golden")
    (doors / "golden/plans.json").write_text("[1]")
    with pytest.raises(BBError, match=r"plans.json: 0: is no golden plan; give it name"):
        check_golden(load_domain(doors), doors / "golden")
    (doors / "golden/meaning.json").unlink()
    with pytest.raises(BBError, match=r"meaning.json: there is none yet; bb domain test --w"):
        check_golden(load_domain(doors), doors / "golden")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("        self.locked[number] = False", "        self.locked[number] = True", "is refused"),
        (
            "            dict(self.locked),",
            "            self.locked,",
            "a copy of its world changes",
        ),
        ("        self.opened.add(number)", "        self.startled += 1", "its own plan causes 1"),
    ],
)
def test_faults_of_a_simulator_are_found(doors: Path, old: str, new: str, what: str) -> None:
    text = (TEMPLATE / "world.py").read_text()
    assert old in text
    (doors / "world.py").write_text(text.replace(old, new))
    assert any(what in fault.what for fault in check_simulator(load_domain(doors), 5))


def test_shared_wordings_and_random_requests_are_found(doors: Path) -> None:
    text = (doors / "asking.py").read_text()
    assert ".draw(split, rng)" in text
    text = text.replace(".draw(split, rng)", '.draw(rng.choice(["dev", "unseen_wordings"]), rng)')
    (doors / "asking.py").write_text(text.replace('Random(f"{seed}/{split}")', "Random()"))
    what = {fault.what for fault in check_simulator(load_domain(doors), 10)}
    assert "the same seed makes other requests" in what
    assert any(each.startswith("unseen_wordings has the skin ") for each in what)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{}", 'a plan is an object with the one key "plan"'),
        ('{"plan":[{"id":"a","tool":"fly","args":{}}]}', "no tool 'fly'"),
        ('{"plan":[{"id":"a","tool":"sign_in","args":{"x":1}}]}', "Additional properties"),
        ('{"plan":[{"id":"a","tool":"sign_in","args":{}}]}', "a plan has at least 3 steps"),
    ],
)
def test_verdicts_name_the_rule(text: str, rule: str) -> None:
    verdict = judge(load_domain(TEMPLATE), text)
    assert not verdict.accepted
    assert rule in verdict.rule


def test_an_unused_handle_is_a_fault_of_the_whole() -> None:
    steps = '{"id":"a","tool":"sign_in","args":{}}'
    for i, number in zip("bc", (101, 102), strict=True):
        steps += f',{{"id":"{i}","tool":"find_door","args":{{"number":{number}}}}}'
    verdict = judge(load_domain(TEMPLATE), f'{{"plan":[{steps}]}}')
    assert verdict.as_record() == {
        "accepted": False,
        "rule": "every handle that is bound must be used",
    }


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("true", "true"),
        ("a & !a", "false"),
        ("a | !a & b", "(a | b)"),
        ("(a | b) & (a | !b)", "a"),
        ("a ^ b", "(!a | !b) & (a | b)"),
    ],
)
def test_normal_forms(text: str, form: str) -> None:
    names = sorted({letter for letter in text if letter in "ab"})
    assert normal_form(text, names) == form


def test_the_shipped_domain_keeps_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert bb_domain("test", "api_json", "-n", 5, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"domain": "api_json", "faults": []}


def test_pages_say_what_is_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bb_domain("show", "api_json", "refund_order") == 0
    said = capsys.readouterr().out
    assert (
        "| only where | `owner_confirmed(order) & !refunded(order) & !cancelled(order)` |" in said
    )
    assert "| `order` | yes | `handle of a order` |  |" in said
    assert bb_domain("show", TEMPLATE, "--requests", 1) == 0
    assert "unseen_policies-00000 (" in capsys.readouterr().out
    assert bb_domain("show", TEMPLATE, "fly") == 2
    page = tmp_path / "page.html"
    assert bb_domain("doc", "api_json", "--out", page) == 0
    text = page.read_text()
    assert "<svg" in text and "refund_order" in text
    assert "<script" not in text and "src=" not in text
    assert bb_domain("doc", "api_json") == 0
    assert "| `no_refund_without_owner` |" in capsys.readouterr().out


def test_traces_of_a_simulator_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bb_core.trace import load_traces

    assert bb_domain("traces", TEMPLATE, "--out", tmp_path, "-n", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out)["traces"] == dict.fromkeys(SPLITS, 3)
    traces = load_traces(tmp_path / "train.jsonl")
    assert all(step.ok for trace in traces for step in trace.steps)
    assert traces[0].state_before != traces[0].state_after or len(traces[0].steps) < 4
