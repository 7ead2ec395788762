"""Why a batch of experts did not run: negative numbers that kernels return.

They differ from those of `memory.faults`, so that a program sees one set of numbers.
"""

from __future__ import annotations

from typing import Final

FAULT_EXPERT: Final = -11
"""The slot holds no expert."""

FAULT_ADDRESS: Final = -12
"""A computed address is outside the state or shared memory."""


def expert_fault_text(fault: int, slot: int) -> str:
    """What a fault means, in words; `slot` is the expert's."""
    if fault == FAULT_EXPERT:
        return f"slot {slot} holds no expert"
    return f"the expert in slot {slot} computed an address that does not exist"
