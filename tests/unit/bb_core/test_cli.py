from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest
import typer

from bb_core import cli
from bb_core.cli import COMMANDS, main, run_app
from bb_core.errors import BBError, UsageError

app = typer.Typer(add_completion=False)


@app.command()
def say(word: str, times: int = 1) -> None:
    """Say a word, or fail in one of the ways in which commands fail."""
    if word == "refuse":
        raise BBError("is refused", where="say", fix="say hello")
    if word == "usage":
        raise UsageError("cannot be meant", where="say")
    if word == "interrupt":
        raise KeyboardInterrupt
    if word == "extra":
        raise ModuleNotFoundError("No module named 'ray'", name="ray.util")
    if word == "bug":
        raise ZeroDivisionError("ours")
    typer.echo(word * times)


NOT_AN_APP = "a string"
HERE = EntryPoints(
    [
        EntryPoint("say", f"{__name__}:app", COMMANDS),
        EntryPoint("odd", f"{__name__}:NOT_AN_APP", COMMANDS),
    ]
)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `bb say` the only command."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, _this_module()))
    monkeypatch.setattr(cli, "entry_points", lambda group: HERE)


def _this_module() -> object:
    module = type(sys)(__name__)
    module.__dict__.update(app=app, NOT_AN_APP=NOT_AN_APP)
    return module


def exit_code(args: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("args", "code", "out", "err"),
    [
        (["say", "hello", "--times", "2"], 0, "hellohello\n", ""),
        (["say", "refuse"], 1, "", "error: say: is refused; say hello\n"),
        (["say", "usage"], 2, "", "error: say: cannot be meant\n"),
        (["say", "interrupt"], 130, "", "interrupted\n"),
        (["sing"], 2, "", "error: bb: no command 'sing'; use one of odd, say\n"),
        (["odd"], 1, "", "error: bb odd: test_cli:NOT_AN_APP is no typer application\n"),
    ],
)
def test_commands_end_with_a_code_and_at_most_one_line(
    args: list[str], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(args) == code
    captured = capsys.readouterr()
    assert captured.out == out
    assert captured.err == err.replace("test_cli:", f"{__name__}:")


@pytest.mark.usefixtures("command")
def test_wrong_options_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["say", "hello", "--times", "many"]) == 2
    assert "--times" in capsys.readouterr().err


@pytest.mark.usefixtures("command")
def test_a_missing_package_names_its_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["say", "extra"]) == 1
    err = capsys.readouterr().err
    assert "needs the package ray.util" in err
    assert "pip install" in err
    assert "[ray]" in err


@pytest.mark.usefixtures("command")
def test_a_bug_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["say", "bug"])


def test_other_commands_end_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_app(app, "say", ["refuse"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: say: is refused; say hello\n"


def test_help_lists_every_command_without_importing_them() -> None:
    code = (
        "import sys; from bb_core.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: print('exit', stop.code)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} &"
        " {'torch', 'numpy', 'networkx', 'bb_domains', 'bb_runtime', 'bb_safety', 'bb_train'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for entry in entry_points(group=COMMANDS):
        assert f"\n  {entry.name}" in done.stdout
    assert "doctor    Say what this machine has, what is missing" in done.stdout
    assert done.stdout.endswith("exit 0\n[]\n")


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([]) == 2
    assert capsys.readouterr().out.startswith("Usage: bb COMMAND")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("builderbrain")


def test_entry_points_are_what_the_project_file_declares() -> None:
    import tomllib

    root = Path(cli.__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][COMMANDS]
    assert {entry.name: entry.value for entry in entry_points(group=COMMANDS)} == declared
