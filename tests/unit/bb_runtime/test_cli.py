"""bb plan, bb generate and bb serve: output, exit codes, messages."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bb_core.cli import run_app
from bb_runtime import generate_cli, keys_cli, plan_cli, plan_program, plan_proof, serve_cli
from bb_runtime.engine import Engine
from bem_kernel.cli import main as kernel_cli
from bem_kernel.ledger.chain import verify

SHOP = str(Path(__file__).parent / "shop")


@pytest.fixture
def bb(capsys):
    """Runs a command of an app; gives exit code, stdout and stderr."""

    def call(app, *args):
        with pytest.raises(SystemExit) as stopped:
            run_app(app, "bb", [str(arg) for arg in args])
        shown = capsys.readouterr()
        return stopped.value.code, shown.out, shown.err

    return call


@pytest.fixture
def plan_file(tmp_path, plan_json):
    path = tmp_path / "plan.json"
    path.write_text(plan_json)
    return path


def test_check_says_admissible(bb, plan_file):
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP)
    assert code == 0 and out.startswith("admissible: 4 steps, plan ")
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--json")
    assert code == 0 and json.loads(out)["admissible"] is True


def test_check_proves_the_program(bb, plan_file, tmp_path):
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--prove")
    assert code == 0
    assert out.startswith("!BAD at the start: holds\n")
    assert "never a: the precondition of login is not met: holds\n" in out
    assert "never d: an invariant is violated: holds\n" in out and "comes to exit: holds\n" in out
    assert "accepted: " in out and "proofs checked" in out and "\nadmissible: 4 steps" in out
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--prove", "--json")
    proof = json.loads(out)["proof"]
    assert code == 0 and proof["accepted"] and proof["proofs"] >= 4
    assert all(edge["holds"] for edge in proof["edges"])
    assert proof["edges"][1]["claim"] == "never a: the precondition of login is not met"


def test_what_was_proved_is_proved_again_by_the_kernel(bb, plan_file, tmp_path):
    out = tmp_path / "plan.bem"
    asked = ("check", plan_file, "--domain", SHOP)
    assert bb(plan_cli.app, *asked, "--prove", "--out", out)[0] == 0
    assert bb(kernel_cli.app, "prove", out, tmp_path / "plan.hoare")[0] == 0
    spoilt = out.read_text().replace("  EXPERT effect.login\n", "")
    assert spoilt != out.read_text()
    out.write_text(spoilt)
    assert bb(kernel_cli.app, "prove", out, tmp_path / "plan.hoare")[0] == 1
    code, _, err = bb(plan_cli.app, *asked, "--prove", "--out", tmp_path / "plan.txt")
    assert code == 2 and "does not end in .bem" in err
    assert bb(plan_cli.app, *asked, "--out", out)[0] == 2


def test_a_proof_that_is_interrupted_says_so(bb, plan_file, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(plan_proof, "prove_program", interrupted)
    code, out, err = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--prove")
    assert (code, out, err.strip()) == (130, "", "interrupted")


def test_check_shows_the_run_that_breaks_a_program(bb, plan_file, monkeypatch):
    """The program of a domain in which login has lost its effect."""
    made = plan_program.plan_program

    def spoilt(*asked):
        program = made(*asked)
        invariants = next(e for e in program.experts if e.name == "invariants")
        experts = (
            replace(invariants, name=e.name) if e.name == "effect.login" else e
            for e in program.experts
        )
        return replace(program, experts=tuple(experts))

    monkeypatch.setattr(plan_program, "plan_program", spoilt)
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--prove")
    assert code == 1 and "rejected: " in out and "    from " in out
    assert "never b: the precondition of get_order is not met: REFUTED\n" in out
    assert "\nnot admissible, its program is not proved: 4 steps" in out
    code, out, _ = bb(plan_cli.app, "check", plan_file, "--domain", SHOP, "--prove", "--json")
    shown = json.loads(out)
    assert code == 1 and not shown["admissible"] and not shown["proof"]["accepted"]


def test_check_refuses_with_step_rule_and_repair(bb, plan_file, plan_json):
    plan_file.write_text(plan_json.replace("get_order", "get_ordre"))
    code, out, err = bb(plan_cli.app, "check", plan_file, "--domain", SHOP)
    assert (code, out) == (1, "")
    assert err.startswith(
        "error: plan: step b: tool: domain shop has no tool 'get_ordre'; use get_order"
    )


def test_standard_input(bb, plan_json, monkeypatch):
    class Stdin:
        buffer = __import__("io").BytesIO(plan_json.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert bb(plan_cli.app, "check", "-", "--domain", SHOP)[0] == 0
    Stdin.buffer = __import__("io").BytesIO(b'{"plan":"\xff"}')
    code, _, err = bb(plan_cli.app, "check", "-", "--domain", SHOP)
    assert code == 2 and "standard input: byte 9 is not UTF-8; send text" in err


def test_missing_files_and_domains_are_one_line(bb, tmp_path, plan_file):
    code, _, err = bb(plan_cli.app, "check", tmp_path / "none.json", "--domain", SHOP)
    assert code in (1, 2) and "none.json" in err and err.count("\n") == 1
    code, _, err = bb(plan_cli.app, "check", plan_file, "--domain", "nowhere")
    assert code == 1 and "no domain 'nowhere'" in err


def test_show_draws(bb, plan_file, tmp_path):
    code, out, _ = bb(plan_cli.app, "show", plan_file)
    assert code == 0 and "├──▶ c  confirm_owner" in out
    code, out, _ = bb(plan_cli.app, "show", plan_file, "--out", tmp_path / "plan.svg")
    assert code == 0 and (tmp_path / "plan.svg").read_text().startswith("<svg")
    code, _, err = bb(plan_cli.app, "show", plan_file, "--out", tmp_path / "plan.bmp")
    assert code == 2 and "use .svg or .png" in err


def test_show_program(bb, plan_file):
    code, out, _ = bb(plan_cli.app, "show", plan_file, "--program", "--domain", SHOP)
    assert code == 0
    assert "HOST d.call" in out and "TRAP_IF" in out


def test_a_dry_run_writes_a_whole_chain(bb, plan_file, tmp_path):
    work = tmp_path / "work"
    code, out, err = bb(
        plan_cli.app, "run", plan_file, "--domain", SHOP, "--dry-run", "--work", work, "--json"
    )
    done = json.loads(out)
    assert code == 0 and done["status"] == "done" and done["dry_run"] is True
    assert "d  refund_order  ok" in err
    checked = verify(work / "logs" / "plans.ledger")
    assert checked.ok and checked.head == done["head"]


def test_a_run_without_a_service_fails_at_its_first_step(bb, plan_file, tmp_path):
    """Port 9 of loopback: nothing answers there."""
    log = tmp_path / "x.ledger"
    code, out, _ = bb(plan_cli.app, "run", plan_file, "--domain", SHOP, "--log", log)
    assert code == 1
    assert out.startswith("failed at step a: login failed: cannot reach ")
    assert verify(log).ok


def test_a_run_is_shown_and_resumed(bb, plan_file, tmp_path):
    """Port 9 of loopback: nothing answers there, neither at first nor later."""
    log = tmp_path / "x.ledger"
    bb(plan_cli.app, "run", plan_file, "--domain", SHOP, "--log", log)
    code, out, _ = bb(plan_cli.app, "status", "--log", log, "--json")
    (shown,) = json.loads(out)
    assert code == 0 and (shown["status"], shown["step"]) == ("failed", "a")
    assert [step["status"] for step in shown["steps"]] == ["failed"] + ["waiting"] * 3
    name, picture = shown["run"][:6], tmp_path / "run.svg"
    code, out, _ = bb(plan_cli.app, "status", name, "--log", log, "--out", picture)
    assert code == 0 and "login" in out and out.count("waiting") == 3
    assert picture.read_text().count("waiting") == 3 and "#f3cfcb" in picture.read_text()
    code, out, _ = bb(plan_cli.app, "resume", name, "--domain", SHOP, "--log", log)
    assert code == 1 and out.startswith("failed at step a: login failed: cannot reach ")
    code, out, _ = bb(plan_cli.app, "forget", name, "--log", log)
    assert code == 0 and out == f"forgotten: {shown['run']}\n"
    code, _, err = bb(plan_cli.app, "resume", name, "--domain", SHOP, "--log", log)
    assert code == 1 and "has ended: failed; run the plan anew" in err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--happened", "d=5"], 2, "'5' is no JSON object; use {...}"),
        (["--happened", "d=x"], 2, "'x' is no JSON object"),
        (["--happened", "d", "--not-happened", "d"], 2, "step d did both; say one of the two"),
        ([], 1, "no run is known; name the log by --log"),
    ],
)
def test_resume_refuses(bb, tmp_path, args, code, message):
    log = tmp_path / "none.ledger"
    found, out, err = bb(plan_cli.app, "resume", *args, "--domain", SHOP, "--log", log)
    assert (found, out) == (code, "") and message in err
    assert list(tmp_path.iterdir()) == []


def test_status_of_what_is_not_there(bb, tmp_path, plan_file):
    code, _, err = bb(plan_cli.app, "status", "--log", tmp_path / "none.ledger")
    assert code == 1 and "cannot be read" in err
    log = tmp_path / "x.ledger"
    bb(plan_cli.app, "run", plan_file, "--domain", SHOP, "--log", log, "--dry-run")
    code, out, _ = bb(plan_cli.app, "status", "--log", log)
    assert code == 0 and out.count("\n") == 1 and "done (dry run)" in out
    code, _, err = bb(plan_cli.app, "status", "zz", "--log", log)
    assert code == 1 and "no runs begin with zz" in err
    code, _, err = bb(plan_cli.app, "status", "--log", log, "--out", tmp_path / "p.svg")
    assert code == 2 and "a picture of which run; name the run" in err


def test_diff(bb, plan_file, plan_json, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(plan_json.replace("12.07", "12.08"))
    assert bb(plan_cli.app, "diff", plan_file, plan_file)[0] == 0
    code, out, _ = bb(plan_cli.app, "diff", plan_file, other)
    assert code == 1 and out.splitlines()[3] == "~ d  refund_order  amount: 12.07 -> 12.08"
    code, out, _ = bb(plan_cli.app, "diff", plan_file, other, "--json")
    assert [change["kind"] for change in json.loads(out)] == ["same"] * 3 + ["changed"]


@pytest.fixture(scope="module")
def base(tmp_path_factory, model, tokenizer):
    """A folder with a tiny model, as --base takes it."""
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_generate_answers_with_an_admissible_plan(bb, base, tmp_path):
    args = ("where is it?", "--base", base, "--domain", SHOP, "--max-new-tokens", 120)
    code, out, err = bb(generate_cli.app, *args)
    assert code == 0 and "a  login" in out and "tokens in" in err
    code, out, _ = bb(generate_cli.app, *args, "--json")
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"plan": json.loads(out)["plan"]}))
    assert bb(plan_cli.app, "check", plan, "--domain", SHOP)[0] == 0


def test_generate_and_run(bb, base, tmp_path):
    args = ("x", "--base", base, "--domain", SHOP, "--max-new-tokens", 60, "--dry-run", "--json")
    code, out, _ = bb(generate_cli.app, *args, "--log", tmp_path / "x.ledger")
    assert code == 0 and json.loads(out)["status"] == "done"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--base", "/nonexistent/base"], 1, "/nonexistent/base"),
        (["--max-new-tokens", "10"], 1, "give at least 47"),
        (["--model", "/nonexistent/rail"], 1, "/nonexistent/rail"),
        (["--dtype", "float8"], 1, "unknown dtype 'float8'"),
        (["--max-new-tokens", "0"], 2, "Invalid value"),
    ],
)
def test_generate_refuses(bb, base, args, code, message):
    start = [] if "--base" in args or "--model" in args else ["--base", base]
    found, out, err = bb(generate_cli.app, "x", "--domain", SHOP, *start, *args)
    assert found in (code, 2) and out == "" and message in err
    assert "Traceback" not in err


def test_generate_with_a_rail_beside_its_base(bb, base, tmp_path):
    from bb_nn.base import load_base
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM

    config = DualRailConfig(width=16, heads=2, skills=2)
    DualRailForCausalLM.from_base(*load_base(str(base)), config).save_pretrained(tmp_path / "rail")
    args = ("x", "--model", tmp_path / "rail", "--domain", SHOP, "--max-new-tokens", 60)
    code, out, err = bb(generate_cli.app, *args, "--base", base)
    assert code == 0 and "a  login" in out, err


def test_the_base_plans_after_the_rail(base, shop):
    """Both propose admissible plans: the same masks, another model."""
    from bb_nn.base import load_base
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_runtime.check import check_plan

    model, tokenizer = load_base(str(base))
    rail = DualRailForCausalLM.from_base(
        model, tokenizer, DualRailConfig(width=16, heads=2, skills=2)
    )
    found = []
    budget = generate_cli.Budget(60, 0.0, 0)
    proposers = generate_cli._proposers(Engine(rail, tokenizer, "rail"), "x", shop, budget, found)
    assert [proposer.name for proposer in proposers] == ["rail", "base"]
    for proposer in proposers:
        check_plan(shop, proposer.propose())
    assert len(found) == 2
    alone = generate_cli._proposers(Engine(model, tokenizer, "b"), "x", shop, budget, found)
    assert [proposer.name for proposer in alone] == ["b"]


def test_a_plain_model_is_no_rail(bb, base):
    code, _, err = bb(generate_cli.app, "x", "--domain", SHOP, "--model", base)
    assert code == 2 and "holds no rail; a plain model is given by --base" in err


def test_help_is_quick_to_load_and_has_examples(bb):
    apps = (
        (generate_cli.app, ""),
        (serve_cli.app, ""),
        (plan_cli.app, "run"),
        (keys_cli.app, "new"),
    )
    for app, name in apps:
        code, out, _ = bb(app, *filter(None, [name]), "--help")
        assert code == 0 and "Example" in out
    code = (
        "import sys, bb_runtime.plan_cli, bb_runtime.generate_cli, bb_runtime.serve_cli,"
        "bb_runtime.keys_cli, bb_runtime.http.keys;"
        "print([m for m in ('torch', 'transformers', 'fastapi', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checking_and_executing_need_no_torch():
    code = (
        "import sys, bb_runtime.check, bb_runtime.execute, bb_runtime.draw, bb_runtime.run_plan;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
