"""The text of a program; `assembler.assemble` turns it back into an equal one."""

from __future__ import annotations

import json
from bisect import bisect_right

from bem_kernel.circuits.circuit import ARITY
from bem_kernel.experts.expert import Expert
from bem_kernel.isa.instructions import FORM, Instruction, Operand, Space, called_port
from bem_kernel.isa.places import place_text, scatter_text
from bem_kernel.isa.program import Program

_REGISTERS = {Operand.RD: "rd", Operand.RA: "ra", Operand.RB: "rb"}
_DEFAULTS = {Operand.RD: "r0", Operand.SHIFT: "0", Operand.COUNT: "1"}


def disassemble(program: Program) -> str:
    """The text of a program."""
    lines = [f".bits {name}" for name in program.bit_names]
    for expert in program.experts:
        lines += _circuit_lines(expert, program)
    for port in program.ports:
        writes = [program.bit_names[bit] for bit in port.writes]
        lines.append(" ".join((".port", port.name, *(["writes", *writes] if writes else []))))
    for entry in program.data:
        if any(entry.words):
            lines.append(" ".join((".data", entry.name, *map(str, entry.words))))
        else:
            lines.append(f".space {entry.name} {len(entry.words)}")
    targets = {i.imm for i in program.code if Operand.TARGET in FORM[i.opcode].operands}
    starts = {node.start: f".cfg {node.name}" for node in program.nodes}
    ends = {node.end for node in program.nodes if node.end < len(program.code)}
    for pc, instruction in enumerate(program.code):
        if pc in starts or pc in ends:
            lines.append(starts.get(pc, ".cfg"))
        if pc in targets:
            lines.append(f"L{pc}:")
        lines.append("  " + instruction_text(instruction, program))
    if len(program.code) in targets:
        lines.append(f"L{len(program.code)}:")
    return "\n".join(lines) + "\n"


def _circuit_lines(expert: Expert, program: Program) -> list[str]:
    circuit, names = expert.circuit, program.bit_names
    header = [".circuit", expert.name]
    if expert.condition is not None:
        keyword = "when" if expert.condition.value else "unless"
        header += [keyword, names[expert.condition.bit]]
    reads = [names[bit] for bit in expert.reads] + [place_text(p) for p in expert.gathers]
    writes = [names[bit] for bit in expert.writes] + [scatter_text(s) for s in expert.scatters]
    for keyword, words in (("reads", reads), ("writes", writes)):
        header += [keyword, *words] if words else []
    lines = [" ".join(header)]
    for i, gate in enumerate(circuit.gates):
        operands = [f"%{slot}" for slot in (gate.a, gate.b)[: ARITY[gate.op]]]
        lines.append(" ".join((f"  %{circuit.n_inputs + i} =", gate.op.name, *operands)))
    lines.append(" ".join((".out", *(f"%{slot}" for slot in circuit.outputs))))
    return lines


def instruction_text(instruction: Instruction, program: Program) -> str:
    """One line of text, without its place."""
    port = called_port(instruction)
    if port is not None and port < len(program.ports):
        name = program.ports[port].name
        return f"HOST {name}, r{instruction.rd}" if instruction.rd else f"HOST {name}"
    form = FORM[instruction.opcode]
    operands = [_operand_text(kind, instruction, program) for kind in form.operands]
    if form.optional is not None:
        place = form.operands.index(form.optional)
        if operands[place] == _DEFAULTS[form.optional]:
            del operands[place]
    return f"{form.mnemonic} {', '.join(operands)}".rstrip()


def _operand_text(kind: Operand, instruction: Instruction, program: Program) -> str:
    if kind in _REGISTERS:
        return f"r{getattr(instruction, _REGISTERS[kind])}"
    match kind:
        case Operand.BIT:
            return program.bit_names[instruction.bit]
        case Operand.TARGET:
            return f"L{instruction.imm}"
        case Operand.TEXT:
            return json.dumps(instruction.text)
        case Operand.EXPERT:
            return program.experts[instruction.imm].name
        case Operand.SHIFT:
            return str(instruction.shift)
        case Operand.COUNT:
            return str(instruction.count)
        case Operand.ADDRESS:
            return _address_text(instruction, program)
        case _:
            return str(instruction.imm)


def _address_text(instruction: Instruction, program: Program) -> str:
    space = "" if instruction.space is Space.ANY else instruction.space.name
    terms, index = [], instruction.imm
    if instruction.space is Space.DATA:
        name, start = _data_name(program, index)
        if name:
            terms, index = [name], index - start
    if instruction.ra:
        terms.append(f"r{instruction.ra}")
    text = " + ".join(terms) or str(index)
    if terms and index:
        text += f" - {-index}" if index < 0 else f" + {index}"
    return f"{space}[{text}]"


def _data_name(program: Program, index: int) -> tuple[str, int]:
    """The name that has a word of DATA and its first index; "" if there is none of one meaning."""
    place = bisect_right(program.data_starts, index) - 1
    if place < 0:
        return "", 0
    entry, start = program.data[place], program.data_starts[place]
    if index >= start + len(entry.words) or entry.name in program.other_numbers:
        return "", 0
    return entry.name, start
