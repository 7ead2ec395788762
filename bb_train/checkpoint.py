"""Training state that survives a kill: safetensors and JSON, never a pickle.

A checkpoint is a directory swapped in as a whole. `state.json` holds the position and the
SHA-256 of each array file, so one that was cut or altered afterwards is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bb_core.canonical import file_sha256
from bb_core.errors import BBError
from bb_core.files import directory_atomic, read_json, write_atomic
from bb_train.sharding import like_parameter, whole_tensor

if TYPE_CHECKING:
    import torch

_WEIGHTS, _OPTIMISER = "weights.safetensors", "optimiser.safetensors"
_RANDOM, _CUDA_RANDOM = "random_state", "cuda_random_state"
_FIX = "remove the checkpoint directory; the run then starts again from its first step"


@dataclass(frozen=True)
class Position:
    """How far a run is: finished steps, and the seconds they took.

    `objective` is what the constrained objective remembers, as JSON values; None without one.
    """

    step: int = 0
    seconds: float = 0.0
    objective: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, read and found whole.

    Attributes:
        position: of the run.
        weights: name -> what training changes.
        arrays: of the optimiser, and the random states.
        path: where it was read.
    """

    position: Position
    weights: dict[str, torch.Tensor]
    arrays: dict[str, torch.Tensor]
    path: Path


def trained_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: parameters that require a gradient, and persistent buffers.

    Of a sharded model the whole tensors; every process must ask for them.
    """
    persistent = model.state_dict(keep_vars=True)
    state = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state |= {name: b for name, b in model.named_buffers() if name in persistent}
    return {name: whole_tensor(tensor.detach()).cpu().clone() for name, tensor in state.items()}


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, position: Position
) -> dict[str, str]:
    """Write weights, optimiser, the random states and the position.

    Returns:
        File name -> SHA-256.
    """
    return write_checkpoint(path, trained_state(model), optimiser_arrays(optimiser), position)


def write_checkpoint(
    path: Path,
    weights: dict[str, torch.Tensor],
    arrays: dict[str, torch.Tensor],
    position: Position,
) -> dict[str, str]:
    """Write what `trained_state` and `optimiser_arrays` gave.

    Returns:
        File name -> SHA-256.
    """
    from safetensors.torch import save_file

    with directory_atomic(path) as folder:
        save_file(weights, folder / _WEIGHTS)
        save_file(arrays | _random_states(), folder / _OPTIMISER)
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
    saved = read_checkpoint(path)
    restore_weights(model, saved)
    restore_optimiser(optimiser, saved)
    return saved.position


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint whole.

    Raises:
        BBError: a file is missing, cut or altered.
    """
    state = read_json(path / "state.json")
    weights = _load_arrays(path / _WEIGHTS, state["files"])
    arrays = _load_arrays(path / _OPTIMISER, state["files"])
    return Checkpoint(Position(**state["position"]), weights, arrays, path)


def restore_weights(model: torch.nn.Module, saved: Checkpoint) -> None:
    """Put the weights into a model that is not sharded (yet).

    Raises:
        BBError: they fit another model. Nothing is changed then.
    """
    _check_same_arrays(saved.path / _WEIGHTS, trained_state(model), saved.weights)
    model.load_state_dict(saved.weights, strict=False)


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: Checkpoint) -> None:
    """Put the optimiser's state back, laid out as its parameters are, and the random states."""
    import torch

    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in saved.arrays.items():
        index, dot, name = key.partition(".")
        if dot:
            laid_out = like_parameter(tensor, parameters[int(index)])
            entries.setdefault(int(index), {})[name] = laid_out
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": entries, "param_groups": groups})
    torch.set_rng_state(saved.arrays[_RANDOM])
    if _CUDA_RANDOM in saved.arrays and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved.arrays[_CUDA_RANDOM])


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state by `index.name`; of shards the whole, which every process must ask."""
    entries = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": whole_tensor(tensor.detach()).cpu().clone()
        for index, entry in entries.items()
        for name, tensor in entry.items()
    }


def _random_states() -> dict[str, torch.Tensor]:
    import torch

    states = {_RANDOM: torch.get_rng_state()}
    if torch.cuda.is_available():
        states[_CUDA_RANDOM] = torch.cuda.get_rng_state()
    return states


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
