import sys

import pytest

from bb_core.cli import run_app
from bb_train import __main__, eval_cli, run_cli, train_cli

APPS = {
    "bb train": train_cli.app,
    "bb eval": eval_cli.app,
    "bb run": run_cli.app,
    "python -m bb_train": __main__.app,
}


def call(name, *words):
    with pytest.raises(SystemExit) as stop:
        run_app(APPS[name], name, [str(word) for word in words])
    return stop.value.code


@pytest.mark.parametrize("name", APPS)
def test_help_has_an_example(name, capsys):
    assert call(name, "--help") == 0
    assert "Example: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "code", "message"),
    [
        ("bb train", ["{tmp}/none.yaml"], 1, "none.yaml: file does not exist"),
        ("bb train", ["{tmp}/bad.yaml"], 1, "bad.yaml:2:"),
        ("bb train", ["{tmp}/few.yaml"], 2, "few.yaml: out: Field required"),
        ("python -m bb_train", ["--config", "{tmp}/bad.yaml"], 1, "bad.yaml:2:"),
        ("bb run", ["--work", "{tmp}/w", "--config", "{tmp}/bad.yaml"], 1, "bad.yaml:2:"),
        ("bb run", ["--work", "{tmp}/few.yaml"], 1, "few.yaml/caches: cannot be made"),
        ("bb eval", ["--methods", "base,rial"], 2, "--methods: no method 'rial'; use base"),
        ("bb eval", ["tune-lora", "--rates", "fast"], 2, "--rates: 'fast' holds no learning"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, capsys, name, words, code, message):
    (tmp_path / "bad.yaml").write_text("a: 1\nb: ]\n")
    (tmp_path / "few.yaml").write_text("method: full\n")
    assert call(name, *[word.format(tmp=tmp_path) for word in words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert message in said.err
    assert said.err.count("\n") == 1


def test_commands_import_nothing_heavy_for_their_help():
    import subprocess

    code = (
        "import sys; import bb_train.train_cli, bb_train.eval_cli, bb_train.run_cli;"
        "print([m for m in ('torch', 'transformers', 'pydantic', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
