import pytest
import torch

from bb_core.errors import BBError
from bb_train.checkpoint import Position, load_checkpoint, save_checkpoint


def make(width=3):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width))
    model[0].bias.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, torch.optim.AdamW(trained, lr=0.1)


def advance(model, optimiser, steps):
    for _ in range(steps):
        model(torch.randn(5, 4)).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    unbroken, optimiser = make()
    advance(unbroken, optimiser, 3)
    save_checkpoint(tmp_path / "c", unbroken, optimiser, Position(3, 1.5))
    advance(unbroken, optimiser, 4)

    resumed, optimiser = make()
    assert load_checkpoint(tmp_path / "c", resumed, optimiser) == Position(3, 1.5)
    advance(resumed, optimiser, 4)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_checkpoint_is_refused_by_file(tmp_path, name, damage):
    model, optimiser = make()
    advance(model, optimiser, 1)
    save_checkpoint(tmp_path / "c", model, optimiser, Position(1, 0.0))
    path = tmp_path / "c" / name
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    message = "has lost this file" if damage == "remove" else "was cut or altered"
    with pytest.raises(BBError, match=rf"{name}: .*{message}.*; remove the checkpoint"):
        load_checkpoint(tmp_path / "c", model, optimiser)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_another_shape_is_refused_by_array(tmp_path):
    model, optimiser = make()
    advance(model, optimiser, 1)
    save_checkpoint(tmp_path / "c", model, optimiser, Position(1, 0.0))
    wider, optimiser = make(width=5)
    with pytest.raises(BBError, match=r"0.weight is \(3, 4\) in the file and \(5, 4\) in"):
        load_checkpoint(tmp_path / "c", wider, optimiser)
