"""The co-processors of a machine, made of what it has.

Source: BEM core spec 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bem_kernel.experts.regions import NAME
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.expert_unit import ExpertUnit, StatisticsUnit
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.program import Program
from bem_kernel.isa.search_unit import SearchUnit
from bem_kernel.isa.units import Unit
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

if TYPE_CHECKING:
    from bem_kernel.ledger.chain import Ledger
    from bem_kernel.search.index import NearestIndex


def table_in(memory: Memory | None) -> ExpertTable | None:
    """The expert table of a memory that has one, such as a loaded image.

    Raises:
        ExpertError, CircuitError, IdentifierError: the table is damaged.
    """
    if memory is None or not memory.has(Segment.EXPERT, f"{NAME}.descriptors"):
        return None
    return ExpertTable(memory)


def units_for(
    program: Program,
    *,
    table: ExpertTable | None = None,
    index: NearestIndex | None = None,
    ledger: Ledger | None = None,
) -> dict[Opcode, Unit]:
    """Units for `Machine(…, units=…)`.

    Args:
        program: what will run; log entries name its fingerprint.
        table: experts for BEM_EXPERT_BATCH and BEM_UPDATE_STATS, and for BEM_ANN_QUERY too if
            there is no index. It must lie in the memory that the machine runs in, and is sealed:
            what a program may run changes by patches alone.
        index: what BEM_ANN_QUERY searches.
        ledger: where BEM_LOG_APPEND appends.
    """
    units: dict[Opcode, Unit] = {}
    if table is not None:
        table.seal()
        units[Opcode.BEM_EXPERT_BATCH] = ExpertUnit(table)
        units[Opcode.BEM_UPDATE_STATS] = StatisticsUnit(table)
        units[Opcode.BEM_ANN_QUERY] = SearchUnit(table)
    if index is not None:
        units[Opcode.BEM_ANN_QUERY] = SearchUnit(index)
    if ledger is not None:
        from bem_kernel.isa.log_unit import LogUnit
        from bem_kernel.isa.record import program_fingerprint

        units[Opcode.BEM_LOG_APPEND] = LogUnit(ledger, program_fingerprint(program))
    return units
