"""BEM_APPLY_PATCH: programs apply patches that were certified, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.attach import units_for
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.machine import Machine
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.propose import propose_replace, propose_retire
from bem_kernel.patches.structure import structure_hash
from bem_kernel.patches.unit import PatchUnit
from bem_kernel.patches.verify import Proved, verify

LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))


def test_a_program_applies_a_patch_and_runs_what_it_brought(tmp_path: Path) -> None:
    table = ExpertTable(Memory(MachineConfig(n_bits=4, n_shared_bits=64, max_experts=4)))
    word = table.add(Expert("sum", (0, 1), LONG, (2,)))
    patch = propose_replace(table, word, SHORT, reason="smaller")
    other = propose_retire(table, [word], reason="x")
    verdict, gone = verify(table, patch), verify(table, other)
    assert isinstance(verdict, Proved) and isinstance(gone, Proved)
    with Ledger(tmp_path / "log") as log:
        unit = PatchUnit(table, log)
        with pytest.raises(PatchError, match="the certificate is for another patch"):
            unit.offer(replace(patch, reason="y"), verdict.certificate)
        first = unit.offer(patch, verdict.certificate)
        late = unit.offer(other, gone.certificate)
        data = " ".join(str(w - (1 << 64) if w >> 63 else w) for w in (*first, *late))
        program = assemble(
            f".bits a b c d\n.data patches {data}\n.data batch 1 0 -1\n"
            "BEM_APPLY_PATCH r1, DATA[patches]\n"
            "BEM_APPLY_PATCH r2, DATA[patches]\n"
            "BEM_APPLY_PATCH r3, DATA[patches+4]\n"
            "BEM_EXPERT_BATCH r4, DATA[batch]\n"
        )
        units = {**units_for(program, table=table), Opcode.BEM_APPLY_PATCH: unit}
        assert table.sealed
        table.memory.planes[0, 0] = 1
        result = Machine(program, memory=table.memory, units=units).run(9)
    assert result.trap is None
    assert result.registers[1:4] == (1, 0, 0)
    assert structure_hash(table) == patch.after and table.expert(word).circuit == SHORT
    assert int(table.memory.planes[2, 0]) & 1 == 1
    assert unit.refusals[0].endswith(f"no patch {patch.fingerprint[:16]} was offered; offer it")
    assert "the certificate is for a machine of base" in unit.refusals[1]
    assert [entry["kind"] for entry in read_entries(tmp_path / "log")] == ["patch.apply"]
