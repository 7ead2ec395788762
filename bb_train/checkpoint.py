"""Training state that survives a kill: safetensors and JSON, never a pickle.

A checkpoint is a directory swapped in as a whole. `state.json` holds the position and the
SHA-256 of each array file, so one that was cut or altered afterwards is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bb_core.canonical import file_sha256
from bb_core.errors import BBError
from bb_core.files import directory_atomic, read_json, write_atomic

if TYPE_CHECKING:
    import torch

_WEIGHTS, _OPTIMISER = "weights.safetensors", "optimiser.safetensors"
_RANDOM = "random_state"
_FIX = "remove the checkpoint directory; the run then starts again from its first step"


@dataclass(frozen=True)
class Position:
    """How far a run is: finished steps, and the seconds they took."""

    step: int = 0
    seconds: float = 0.0


def trained_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: parameters that require a gradient, and persistent buffers."""
    persistent = model.state_dict(keep_vars=True)
    state = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state |= {name: b for name, b in model.named_buffers() if name in persistent}
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, position: Position
) -> dict[str, str]:
    """Write weights, optimiser, the CPU random state and the position.

    Returns:
        File name -> SHA-256.
    """
    import torch
    from safetensors.torch import save_file

    with directory_atomic(path) as folder:
        save_file(trained_state(model), folder / _WEIGHTS)
        arrays = _optimiser_arrays(optimiser) | {_RANDOM: torch.get_rng_state()}
        save_file(arrays, folder / _OPTIMISER)
        hashes = {name: file_sha256(folder / name) for name in (_WEIGHTS, _OPTIMISER)}
        state = {"position": asdict(position), "files": hashes}
        write_atomic(folder / "state.json", json.dumps(state))
    return hashes


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> Position:
    """Restore, in place, what `save_checkpoint` wrote.

    Raises:
        BBError: a file is missing, cut, altered, or fits another model. Nothing is changed then.
    """
    import torch

    state = read_json(path / "state.json")
    weights = _load_arrays(path / _WEIGHTS, state["files"])
    arrays = _load_arrays(path / _OPTIMISER, state["files"])
    _check_same_arrays(path / _WEIGHTS, trained_state(model), weights)
    model.load_state_dict(weights, strict=False)
    torch.set_rng_state(arrays.pop(_RANDOM))
    _restore_optimiser(optimiser, arrays)
    return Position(**state["position"])


def _optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    entries = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": tensor.detach().cpu().clone()
        for index, entry in entries.items()
        for name, tensor in entry.items()
    }


def _restore_optimiser(optimiser: torch.optim.Optimizer, arrays: dict[str, torch.Tensor]) -> None:
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in arrays.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": entries, "param_groups": groups})


def _load_arrays(path: Path, hashes: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    if not path.exists():
        raise BBError("the checkpoint has lost this file", where=str(path), fix=_FIX)
    if file_sha256(path) != hashes.get(path.name):
        raise BBError("the file was cut or altered after it was written", where=str(path), fix=_FIX)
    return load_file(path)


def _check_same_arrays(
    path: Path, current: dict[str, torch.Tensor], saved: dict[str, torch.Tensor]
) -> None:
    here = {name: tuple(tensor.shape) for name, tensor in current.items()}
    there = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    different = sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))
    if different:
        name = different[0]
        raise BBError(
            f"{name} is {there.get(name)} in the file and {here.get(name)} in the model",
            where=str(path),
            fix="resume with the base and configuration that wrote it",
        )
