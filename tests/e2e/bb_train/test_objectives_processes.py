"""Two processes that hold parts of a batch take the step that one process with all of it takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import json, sys
from contextlib import nullcontext
import torch
from accelerate import Accelerator
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from bb_train.objectives.calibration import calibration_loss, start_calibration
from bb_train.objectives.duals import Constraint
from bb_train.objectives.gradients import trained_parameters
from bb_train.objectives.step import constrained_step, start_state
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import mean_term

accelerator = Accelerator(cpu=True)
rank, world = accelerator.process_index, accelerator.num_processes
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5)).double()
data, labels = torch.randn(12, 4).double(), torch.randint(5, (12,))
mine = slice(0, 12) if world == 1 else slice(0, 5) if rank == 0 else slice(5, 12)
sharded = sys.argv[2] == "sharded"
if sharded:
    for module in (model[0], model[2], model):
        fully_shard(module, mesh=init_device_mesh("cpu", (world,)))
    assert all(isinstance(p, DTensor) for p in model.parameters())
else:
    model = accelerator.prepare(model)
limits = [Constraint("size", 0.2, rate=5.0), Constraint("ece", 0.0, rate=5.0)]
state, record = start_state(limits, 2), start_calibration()
parameters = trained_parameters(model)
reduce = lambda tensor: accelerator.reduce(tensor.clone(), "sum")
cosines = []
for step in range(6):
    with nullcontext() if sharded else accelerator.no_sync(model):
        logits = model(data[mine])
    logp = logits.log_softmax(-1)
    sure, top = logp.exp().max(-1)
    ece, record = calibration_loss(sure, top == labels[mine], record, reduce)
    terms = {
        "task": mean_term(-logp.gather(1, labels[mine, None])[:, 0]),
        "size": mean_term(logits.square().mean(-1)),
        "ece": ece,
    }
    outcome = constrained_step(
        terms, parameters, state, rule=Rule(sys.argv[1], seed=3), step=step, reduce=reduce
    )
    state = outcome.state
    cosines.append(outcome.cosines)
    with torch.no_grad():
        for parameter in parameters:
            parameter -= 0.5 * parameter.grad
whole = [p.full_tensor() if sharded else p for p in parameters]
weights = [value for p in whole for value in p.detach().flatten().tolist()]
print("RESULT" + json.dumps({"rank": rank, "weights": weights, "duals": outcome.state.duals.values,
      "cosines": cosines, "values": outcome.values}))
'''  # fmt: skip


def results(tmp_path: Path, processes: int, rule: str, how: str):
    """What each process has come to."""
    script = tmp_path / "steps.py"
    script.write_text(SCRIPT)
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"]
    command = [
        *(sys.executable, "-m", "bb_train.launcher", *several),
        *("--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"),
        *("--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"),
        *("--main_process_port", "0", str(script), rule, how),
    ]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    decoder = json.JSONDecoder()
    found = [decoder.raw_decode(part)[0] for part in done.stdout.split("RESULT")[1:]]
    assert len(found) == processes
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "how"), [("pcgrad", "whole"), ("cagrad", "sharded")])
def test_two_processes_take_one_step(tmp_path, rule, how):
    """With DDP every process holds all parameters, with `fully_shard` a part of each."""
    (alone,) = results(tmp_path, 1, rule, "whole")
    first, second = results(tmp_path, 2, rule, how)
    assert first["weights"] == second["weights"]  # the same bits
    assert first["duals"] == second["duals"] and first["cosines"] == second["cosines"]
    assert first["weights"] == pytest.approx(alone["weights"], rel=1e-7, abs=1e-9)
    assert first["duals"] == pytest.approx(alone["duals"], rel=1e-7)
    assert first["values"] == pytest.approx(alone["values"], rel=1e-7)
    assert min(value for step in alone["cosines"] for value in step.values()) < 0  # conflicts
