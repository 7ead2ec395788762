import fcntl
import json
import resource

import pytest

from bb_core.canonical import file_sha256
from bb_core.errors import BBError, UsageError
from seal import checkpoint
from seal.checkpoint import Places, check_output
from seal.errors import JobError
from seal.generator import SelfEditGenerator
from seal.job import Job, run_job
from seal.models import model_fingerprint
from seal.passages import Passage
from seal.records import Provenance
from seal.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=24, num_edits=2, batch_size=4, attempts=1)


@pytest.fixture(scope="module")
def passages(tiny):
    return [Passage(f"p{i}", f"{tiny.PASSAGES[i % 3]} Number {i}.") for i in range(6)]


@pytest.fixture(scope="module")
def generator(speaker):
    return SelfEditGenerator(*speaker, settings=SETTINGS)


@pytest.fixture(scope="module")
def job(speaker, passages):
    def make(output, fresh=False, passages=passages, settings=SETTINGS):
        provenance = Provenance("implications", model_fingerprint(*speaker), settings)
        return Job(passages, Places(output), provenance, block=2, fresh=fresh)

    return make


def rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_a_run_writes_three_files_that_agree(generator, job, passages, tmp_path):
    outcome = run_job(generator, job(tmp_path / "out.jsonl"))
    names = {"out.jsonl", "out.rejected.jsonl", "out.stats.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    written = rows(tmp_path / "out.jsonl")
    assert [p.id for p in passages] == list(dict.fromkeys(row["id"] for row in written))
    stats = json.loads((tmp_path / "out.stats.json").read_text())
    assert stats == outcome.stats
    kinds = [row["kind"] for row in written]
    assert (stats["edits"], stats["originals"]) == (kinds.count("edit"), kinds.count("original"))
    assert stats["passages"] == 6
    assert sum(stats["rejected"].values()) == len(rows(tmp_path / "out.rejected.jsonl"))
    assert stats["output_sha256"] == file_sha256(tmp_path / "out.jsonl")
    assert stats["tokens"] > 0 and stats["elapsed_s"] > 0


def test_the_same_run_twice_gives_the_same_bytes(generator, job, tmp_path):
    run_job(generator, job(tmp_path / "a.jsonl"))
    run_job(generator, job(tmp_path / "b.jsonl"))
    for suffix in ("jsonl", "rejected.jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_finished_run_is_not_done_again_unless_asked(generator, job, tmp_path, monkeypatch):
    first = run_job(generator, job(tmp_path / "out.jsonl"))
    calls = []
    real = generator.generate
    monkeypatch.setattr(generator, "generate", lambda *a: calls.append(a) or real(*a))
    again = run_job(generator, job(tmp_path / "out.jsonl"))
    assert again.was_done and again.stats == first.stats and not calls
    assert not (tmp_path / "out.jsonl.partial").exists()
    assert not run_job(generator, job(tmp_path / "out.jsonl", fresh=True)).was_done
    assert calls


def test_a_changed_output_is_made_again(generator, job, tmp_path):
    output = tmp_path / "out.jsonl"
    run_job(generator, job(output))
    good = output.read_bytes()
    output.write_bytes(good + b"\n")
    assert not run_job(generator, job(output)).was_done
    assert output.read_bytes() == good


class Stop(BaseException):
    """Not an Exception: nothing may catch it."""


def stop_after(monkeypatch, blocks):
    """Let the state of so many blocks be saved, then stop."""
    real, saved = checkpoint.save_state, []

    def save(places, state):
        real(places, state)
        saved.append(state)
        if len(saved) == blocks:
            raise Stop

    monkeypatch.setattr(checkpoint, "save_state", save)


def test_a_stopped_run_resumes_where_it_was(generator, job, tmp_path, monkeypatch):
    run_job(generator, job(tmp_path / "whole.jsonl"))
    with monkeypatch.context() as patch:
        stop_after(patch, blocks=2)
        with pytest.raises(Stop):
            run_job(generator, job(tmp_path / "out.jsonl"))
    seen = []
    real = generator.generate
    monkeypatch.setattr(generator, "generate", lambda ps, s: seen.extend(ps) or real(ps, s))
    outcome = run_job(generator, job(tmp_path / "out.jsonl"))
    assert outcome.resumed_at == 4
    assert [p.id for p in seen] == ["p4", "p5"]
    for suffix in ("jsonl", "rejected.jsonl"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        assert (tmp_path / f"out.{suffix}").read_bytes() == whole


def test_the_memory_of_kept_edits_is_rebuilt_on_resuming(speaker, job, tiny, tmp_path, monkeypatch):
    settings = GenerationSettings(max_new_tokens=64, num_edits=2, attempts=1)
    generator = SelfEditGenerator(*speaker, settings=settings)
    twice = [Passage(f"p{i}", tiny.PASSAGES[0]) for i in range(4)]
    with monkeypatch.context() as patch:
        stop_after(patch, blocks=1)
        with pytest.raises(Stop):
            run_job(generator, job(tmp_path / "out.jsonl", passages=twice, settings=settings))
    run_job(generator, job(tmp_path / "out.jsonl", passages=twice, settings=settings))
    edits = [r["edit"] for r in rows(tmp_path / "out.jsonl") if r["kind"] == "edit"]
    assert edits
    assert len(edits) == len(set(edits))


def test_an_unfinished_run_with_other_settings_is_not_mixed_in(
    speaker, generator, job, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_after(patch, blocks=1)
        with pytest.raises(Stop):
            run_job(generator, job(tmp_path / "out.jsonl"))
    settings = GenerationSettings(max_new_tokens=25, attempts=1)
    other = SelfEditGenerator(*speaker, settings=settings)
    with pytest.raises(JobError, match=r"out\.jsonl\.partial: an unfinished run with another"):
        run_job(other, job(tmp_path / "out.jsonl", settings=settings))
    assert run_job(other, job(tmp_path / "out.jsonl", True, settings=settings)).resumed_at == 0


def test_a_smaller_batch_may_finish_a_run(speaker, generator, job, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, blocks=1)
        with pytest.raises(Stop):
            run_job(generator, job(tmp_path / "out.jsonl"))
    settings = GenerationSettings(max_new_tokens=24, num_edits=2, batch_size=1, attempts=1)
    smaller = SelfEditGenerator(*speaker, settings=settings)
    assert run_job(smaller, job(tmp_path / "out.jsonl", settings=settings)).resumed_at == 2


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("state.json", lambda p: p.write_text("{"), "checkpoint is damaged; start anew with --fr"),
        ("state.json", lambda p: p.write_text('{"a": 1}'), "checkpoint is damaged"),
        ("edits.jsonl", lambda p: p.write_bytes(b""), r"counts \d+ bytes, there are 0; start anew"),
        ("edits.jsonl", lambda p: p.unlink(), r"counts \d+ bytes, the file is gone"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    generator, job, tmp_path, monkeypatch, name, spoil, message
):
    output = tmp_path / "out.jsonl"
    output.write_text("what was there before")
    with monkeypatch.context() as patch:
        stop_after(patch, blocks=2)
        with pytest.raises(Stop):
            run_job(generator, job(output))
    spoil(tmp_path / "out.jsonl.partial" / name)
    with pytest.raises(JobError, match=message):
        run_job(generator, job(output))
    assert output.read_text() == "what was there before"
    run_job(generator, job(output, fresh=True))
    assert rows(output)


def test_two_processes_do_not_write_one_output(generator, job, tmp_path):
    partial = tmp_path / "out.jsonl.partial"
    partial.mkdir()
    with open(partial / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JobError, match="another process is writing this output; wait for it"):
            run_job(generator, job(tmp_path / "out.jsonl"))


def test_a_disk_that_refuses_keeps_what_was_there_and_the_run_resumes(generator, job, tmp_path):
    """The kernel itself refuses here: no file of this process may grow beyond the limit."""
    run_job(generator, job(tmp_path / "whole.jsonl"))
    limit = (tmp_path / "whole.jsonl").stat().st_size // 2
    (tmp_path / "out.jsonl").write_text("what was there before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(
            JobError, match=r"edits\.jsonl: cannot be written: File too large; make"
        ):
            run_job(generator, job(tmp_path / "out.jsonl"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "out.jsonl").read_text() == "what was there before"
    assert 0 < run_job(generator, job(tmp_path / "out.jsonl")).resumed_at < 6
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_place_that_cannot_be_made_is_named(generator, job, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BBError, match=r"out\.jsonl\.partial: cannot be written: Not a directory"):
        run_job(generator, job(tmp_path / "file" / "out.jsonl"))


def test_only_blank_passages_give_an_empty_output(generator, job, tmp_path):
    blank = [Passage("a", ""), Passage("b", " ")]
    outcome = run_job(generator, job(tmp_path / "out.jsonl", passages=blank))
    assert outcome.stats["blank_passages"] == 2
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert len(rows(tmp_path / "out.rejected.jsonl")) == 2


def test_check_output(tmp_path):
    source = tmp_path / "in.jsonl"
    with pytest.raises(UsageError, match="the output is JSONL; give it the suffix"):
        check_output(tmp_path / "out.txt", source)
    with pytest.raises(UsageError, match="input and output are one file"):
        check_output(source, source)
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(UsageError, match="is a folder; name a file"):
        check_output(tmp_path / "d.jsonl", source)
    assert check_output(tmp_path / "o.jsonl", source).stats == tmp_path / "o.stats.json"
