import json
import re
import subprocess
import sys

import pytest
import typer.testing

from seal import cli


def test_help_has_an_example_and_loads_neither_torch_nor_transformers():
    script = (
        "import sys\n"
        "from seal.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {heavy}' if heavy else stop.code)\n"
    )
    command = [sys.executable, "-c", script, "generate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Example: seal generate --input notes.txt --output edits.jsonl" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--temperature", "3"], 2, "temperature is 3.0, which is outside 0.05 to 2.0; choose"),
        (["--num-edits", "0"], 2, "num_edits is 0, which is outside 1 to 50"),
        (["--strategy", "poetry"], 2, "no strategy 'poetry'; choose one of: implications"),
        (["--input", "none.txt"], 1, "none.txt: file does not exist; check the path"),
        (["--output", "edits.txt"], 2, "edits.txt: the output is JSONL; give it the suffix"),
        (["--model", "./none"], 1, "./none: no such folder; name a folder written by"),
        (["--dtype", "int4"], 1, "--dtype: unknown dtype 'int4'; use one of"),
        (["--checkpoint-every", "0"], 2, "'--checkpoint-every'"),
        (["--colour", "red"], 2, "No such option: --colour"),
    ],
)
def test_wrong_use_is_one_message_with_a_fix(
    tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("A passage.")
    usual = ["generate", "--input", "in.txt", "--output", "out.jsonl", "--model", "./none"]
    monkeypatch.setattr(sys, "argv", ["seal", *usual, *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr()
    assert stop.value.code == code
    assert message in re.sub(r"\s+", " ", written.err)
    assert "Traceback" not in written.err and not written.out
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_no_arguments_show_the_commands():
    done = typer.testing.CliRunner().invoke(cli.app, [])
    assert "generate" in done.output


def test_a_run_reports_in_words_and_in_json(tiny, model_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "in.txt").write_text("\n\n".join(tiny.PASSAGES))
    files = ["--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl")]
    settings = ["--model", str(model_folder), "--max-new-tokens", "40", "--attempts", "1"]

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["seal", "generate", *files, *settings, *more])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    words = run()
    stats = json.loads(run("--json"))
    assert words.startswith(f"3 passages, {stats['edits']} edits accepted")
    assert f"3 answers, {stats['tokens']} tokens" in words
    assert stats["was_done"] is True
    assert stats["output"] == str(tmp_path / "out.jsonl")
    assert run().startswith("nothing to do: the output is that of this very command")
    assert run("--fresh").startswith("3 passages")
