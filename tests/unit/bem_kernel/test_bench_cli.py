"""`bem bench micro`, in process, on tiny circuits."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.cli import main as cli
from bem_kernel.engines import micro
from bem_kernel.errors import EngineError
from bem_kernel.lanes import Planes

SMALL = ("bench", "micro", "--gates", "8", "--inputs", "4", "--outputs", "2", "--lanes", "100")


def bem(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", *args])
        patch.setattr(micro, "_LEAST_NS", 1)
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_every_engine_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bem(capsys, *SMALL, "--json")
    assert code == 0
    found = json.loads(out)
    assert [row["engine"] for row in found] == ["reference", "integer", "interpreter", "llvm"]
    for row in found:
        assert row["gate_lanes_per_s"] == 8 * 128 * 10**9 // row["wide_ns"]
        assert row["first_ns"] > 0
        assert row["call_ns"] > 0


def test_one_engine_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bem(capsys, *SMALL, "--engine", "integer")
    assert code == 0
    head, row = out.splitlines()
    assert head.split()[0] == "engine"
    assert row.split()[0] == "integer"


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = bem(capsys, *SMALL, "--engine", "abacus")
    assert code == 1
    assert "no engine 'abacus'; use reference, integer, interpreter, llvm, triton" in err
    code, _, err = bem(capsys, *SMALL[:-2], "--outputs", "4")
    assert code == 1
    assert "4 outputs for 4 inputs and 8 gates" in err
    code, _, err = bem(capsys, *SMALL, "--lanes", "0")
    assert code == 2


def test_a_wrong_engine_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, planes = micro.micro_problem(8, 4, 2, 64, seed=1)
    right = micro.engine_named("reference")

    def flipped(circuit: Circuit, planes: Planes) -> Planes:
        results = right.evaluate(circuit, planes)
        results[-1, -1] ^= np.uint64(1)
        return results

    named = {"reference": right, "flipped": SimpleNamespace(evaluate=flipped)}
    monkeypatch.setattr(micro, "engine_named", named.__getitem__)
    with pytest.raises(EngineError, match=r"micro\.measure_engine: flipped differs from the"):
        micro.measure_engine("flipped", circuit, planes)
