"""Stopped at any system call that makes something durable, a run ends as if never stopped."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal.checkpoint import Places
from seal.generator import SelfEditGenerator
from seal.job import Job, run_job
from seal.passages import Passage
from seal.records import Provenance
from seal.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=12, num_edits=2, attempts=1)


class Stop(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.fixture(scope="module")
def run(speaker, tiny):
    generator = SelfEditGenerator(*speaker, settings=SETTINGS)
    passages = [Passage(f"p{i}", f"{tiny.PASSAGES[i % 3]} {i}") for i in range(3)]
    provenance = Provenance("implications", "0" * 64, SETTINGS)

    def run(folder):
        run_job(generator, Job(passages, Places(folder / "out.jsonl"), provenance, block=2))
        return {path.name: path.read_bytes() for path in folder.glob("out*.jsonl")}

    return run


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def stop_at(patch, count):
    """Stop before the `count`-th fsync, rename or removal."""
    calls = iter(range(count))

    def guarded(real):
        def call(*args, **kwargs):
            if next(calls, None) is None:
                raise Stop
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "rmdir"):
        patch.setattr(os, name, guarded(getattr(os, name)))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(stops=st.lists(st.integers(1, 28), min_size=1, max_size=3))
def test_any_sequence_of_stops_changes_nothing(run, whole, tmp_path_factory, stops):
    folder = tmp_path_factory.mktemp("stopped")
    for count in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, count)
            try:
                run(folder)
            except Stop:
                continue
    assert run(folder) == whole
    assert not (folder / "out.jsonl.partial").exists()


def test_each_single_stop_changes_nothing(run, whole, tmp_path_factory):
    stopped = 0
    for count in range(40):
        folder = tmp_path_factory.mktemp("single")
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, count)
            try:
                run(folder)
                break
            except Stop:
                stopped += 1
        assert run(folder) == whole
    assert 15 < stopped < 40
