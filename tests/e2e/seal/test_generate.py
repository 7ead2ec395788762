"""The command as a user runs it: real processes, real models, real kills."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

RUN = "from seal.cli import main; main()"

# Kill the process, as `kill -9` does, right after the state of the n-th block was saved or right
# before it: then the rows are on disk but do not count.
KILL = """
import os, signal, sys
from seal import checkpoint
real, left = checkpoint.save_state, {blocks}
def save(places, state):
    global left
    left -= 1
    if {before} and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(places, state)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save_state = save
"""


def seal(*arguments, script=RUN, shell_prefix=()):
    command = [*shell_prefix, sys.executable, "-c", script, "generate", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def arguments(model_folder, tiny, tmp_path):
    lines = [{"id": f"p{i}", "passage": f"{tiny.PASSAGES[i % 3]} {i}"} for i in range(6)]
    lines += [{"id": "blank", "passage": " "}, {"id": "水", "passage": "港の水位 🙂\n第二行"}]
    lines += [{"id": "long", "passage": "The harbour was dredged. " * 4000}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    usual = {"--input": tmp_path / "in.jsonl", "--model": model_folder, "--checkpoint-every": 2}
    settings = {"--max-new-tokens": 48, "--num-edits": 2, "--attempts": 2, "--seed": 5}
    return [str(word) for pair in {**usual, **settings}.items() for word in pair]


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.slow
def test_a_whole_run_and_its_repetition(arguments, tmp_path):
    output = tmp_path / "out.jsonl"
    first = seal(*arguments, "--output", output, "--json")
    assert first.returncode == 0, first.stderr
    # Progress and nothing else: no warning of a library reaches the user.
    assert all(line.startswith("self-edits: ") for line in first.stderr.splitlines())
    stats = json.loads(first.stdout)
    rows = read(output)
    assert [row["id"] for row in rows if row["id"] == "blank"] == []
    assert {row["id"] for row in rows} == {*(f"p{i}" for i in range(6)), "水", "long"}
    assert {row["cut"] for row in rows if row["id"] == "long"} == {True}
    assert len({row["model_fingerprint"] for row in rows}) == 1
    assert (stats["passages"], stats["blank_passages"], stats["cut_passages"]) == (9, 1, 1)
    assert stats["edits"] == sum(row["kind"] == "edit" for row in rows) > 0
    assert stats["was_done"] is False

    again = seal(*arguments, "--output", output)
    assert again.returncode == 0
    assert again.stdout.startswith("nothing to do: the output is that of this very command")
    assert f"refused: {', '.join(f'{k} {n}' for k, n in sorted(stats['rejected'].items()))}" in (
        again.stdout
    )
    assert str(tmp_path / "out.rejected.jsonl") in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "before"), [(2, False), (3, True)])
def test_killed_and_resumed_it_writes_what_it_would_have_written(
    arguments, tmp_path, blocks, before
):
    assert seal(*arguments, "--output", tmp_path / "whole.jsonl").returncode == 0
    output = tmp_path / "out.jsonl"
    killed = seal(
        *arguments, "--output", output, script=KILL.format(blocks=blocks, before=before) + RUN
    )
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    resumed = seal(*arguments, "--output", output)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after passage 4" in resumed.stdout
    for suffix in ("jsonl", "rejected.jsonl"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        assert (tmp_path / f"out.{suffix}").read_bytes() == whole
    assert not (tmp_path / "out.jsonl.partial").exists()


@pytest.mark.slow
def test_garbage_falls_back_to_the_passages(tiny, tmp_path):
    folder = tiny.save_model(tmp_path / "garbler", speaks=False)
    (tmp_path / "in.txt").write_text("\n\n".join(tiny.PASSAGES))
    output = tmp_path / "out.jsonl"
    done = seal("--input", tmp_path / "in.txt", "--output", output, "--model", folder)
    assert done.returncode == 0
    assert "originals kept for want of an edit: 3" in done.stdout
    assert [(r["kind"], r["edit"]) for r in read(output)] == [
        ("original", text) for text in tiny.PASSAGES
    ]


def test_a_bad_line_leaves_the_old_output_alone(arguments, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("what was there before")
    with open(tmp_path / "in.jsonl", "a") as file:
        file.write('{"passage": "no end\n')
    done = seal(*arguments, "--output", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert "in.jsonl:10:13: not JSON: Unterminated string" in done.stderr
    assert "write one object a line, such as" in done.stderr
    assert "Traceback" not in done.stderr
    assert output.read_text() == "what was there before"


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_the_run_resumes(arguments, tmp_path):
    """A file system of 20 KiB in a mount namespace of its own."""
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=20k tmpfs {small}"
    probe = ["unshare", "-rm", "sh", "-c", mount]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("this system lets no user mount a file system")
    keep = f"code=$?; cp -r {small} {kept}; exit $code"
    prefix = ["unshare", "-rm", "sh", "-c", f'{mount} && "$@"; {keep}', "sh"]
    output = small / "out.jsonl"
    full = seal(*arguments, "--output", output, shell_prefix=prefix)
    assert full.returncode == 1, full.stderr
    assert "cannot be written: No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    # The same place with more room: what was finished on the small disk is not made again.
    resumed = seal(*arguments, "--output", kept / "out.jsonl")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after passage" in resumed.stdout
    assert seal(*arguments, "--output", tmp_path / "whole.jsonl").returncode == 0
    assert (kept / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
