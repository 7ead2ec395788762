"""Sharded parameters in one process: the same step as whole ones."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from bb_train.objectives.duals import Constraint
from bb_train.objectives.errors import GradientError, ShapeError
from bb_train.objectives.gradients import (
    Rows,
    are_sharded,
    gradient_rows,
    sharded_rows,
    trained_parameters,
    write_gradient,
)
from bb_train.objectives.step import constrained_step, start_state
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import mean_term


@pytest.fixture
def alone():
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))


def losses_of(model, data):
    out = model(data)
    return {"task": out.square().sum(-1), "size": -out.abs().sum(-1)}


def test_rows_of_shards_are_the_rows(alone):
    data = torch.randn(5, 3)
    plain, shards = net(), fully_shard(net(), mesh=alone)
    parameters = trained_parameters(shards)
    assert are_sharded(parameters) and not are_sharded(trained_parameters(plain))
    want = gradient_rows(
        {k: v.mean() for k, v in losses_of(plain, data).items()}, [*plain.parameters()]
    )
    have = {k: v.mean() for k, v in losses_of(shards, data).items()} | {"none": torch.zeros(())}
    rows = sharded_rows(have, parameters)
    assert torch.allclose(rows.matrix[:2], want.matrix, atol=1e-6) and not rows.matrix[2].any()


def test_steps_of_shards_are_the_steps(alone):
    data = torch.randn(5, 3)
    models = net(), fully_shard(net(), mesh=alone)
    ends = []
    for model in models:
        parameters = trained_parameters(model)
        optimiser = torch.optim.SGD(parameters, lr=0.1)
        state = start_state([Constraint("size", -3.0, rate=1.0)], 1)
        for step in range(4):
            terms = {name: mean_term(loss) for name, loss in losses_of(model, data).items()}
            outcome = constrained_step(terms, parameters, state, rule=Rule("pcgrad"), step=step)
            state = outcome.state
            optimiser.step()
        assert outcome.duals["size"] > 0 and outcome.cosines["task|size"] < 0
        ends.append([getattr(p, "full_tensor", lambda p=p: p)().detach() for p in parameters])
    for whole, part in zip(*ends, strict=True):
        assert torch.allclose(whole, part, atol=1e-6)


def test_half_sharded_parameters_and_rows_of_others_are_refused(alone):
    model = net()
    fully_shard(model[0], mesh=alone)
    with pytest.raises(GradientError, match="gradients: 2 of 4 parameters are sharded; call fully"):
        are_sharded(trained_parameters(model))
    rows = Rows(("task",), torch.zeros(1, 5))
    with pytest.raises(ShapeError, match="1 weights and 12 parameters for rows of shape"):
        write_gradient(rows, torch.ones(1).double().numpy(), [net()[0].weight])
