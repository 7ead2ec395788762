"""Every co-processor that a program asks for and a machine has the means for.

`isa.attach` cannot know the units of the proof kernel, which lie above it; this is the same with
them. Units are made, and what they need imported, only where the program has their instruction.

Source: BEM core spec 3.4, 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bem_kernel.isa.attach import units_for
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.program import Program
from bem_kernel.isa.units import Unit

if TYPE_CHECKING:
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.ledger.chain import Ledger
    from bem_kernel.search.index import NearestIndex


def all_units(
    program: Program,
    *,
    table: ExpertTable | None = None,
    index: NearestIndex | None = None,
    ledger: Ledger | None = None,
) -> dict[Opcode, Unit]:
    """Units for `Machine(…, units=…)`.

    Args:
        program: what will run.
        table: as for `units_for`; with a ledger also what BEM_APPLY_PATCH changes. Patches are
            offered to that unit by its `offer`.
        index: as for `units_for`.
        ledger: likewise.
    """
    units = units_for(program, table=table, index=index, ledger=ledger)
    asked = {instruction.opcode for instruction in program.code}
    if asked & {Opcode.BEM_SAT_CHECK, Opcode.BEM_PROOF_CHECK}:
        from bem_kernel.hoare.logic_units import ProofUnit, SatUnit

        units[Opcode.BEM_SAT_CHECK] = SatUnit()
        units[Opcode.BEM_PROOF_CHECK] = ProofUnit()
    if Opcode.BEM_HOARE_CHECK in asked:
        from bem_kernel.hoare.unit import HoareUnit

        units[Opcode.BEM_HOARE_CHECK] = HoareUnit()
    if Opcode.BEM_APPLY_PATCH in asked and table is not None and ledger is not None:
        from bem_kernel.patches.unit import PatchUnit

        units[Opcode.BEM_APPLY_PATCH] = PatchUnit(table, ledger)
    return units
