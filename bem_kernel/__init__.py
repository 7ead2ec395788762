"""The Boolean Expert Machine: circuits over bit planes, experts, programs, the ledger.

Integers and bit operations only; no torch. A machine is made from the names below; everything else
is imported from its file, for example ``from bem_kernel.circuits.circuit import Circuit``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bem_kernel.experts.expert import Expert
    from bem_kernel.ledger.chain import Ledger
    from bem_kernel.memory.configuration import MachineConfig
    from bem_kernel.memory.memory import Memory
    from bem_kernel.runner.config import RunnerConfig
    from bem_kernel.runner.machine import ExpertMachine
    from bem_kernel.runner.reward import LaneReward
    from bem_kernel.runner.world import CompiledWorld

__all__ = [
    "CompiledWorld",
    "Expert",
    "ExpertMachine",
    "LaneReward",
    "Ledger",
    "MachineConfig",
    "Memory",
    "RunnerConfig",
]

_HOME = {
    "CompiledWorld": "runner.world",
    "Expert": "experts.expert",
    "ExpertMachine": "runner.machine",
    "LaneReward": "runner.reward",
    "Ledger": "ledger.chain",
    "MachineConfig": "memory.configuration",
    "Memory": "memory.memory",
    "RunnerConfig": "runner.config",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its file when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
