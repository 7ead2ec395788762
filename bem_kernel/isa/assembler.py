"""Programs as text.

    .bits logged_in looked_up bad          # state bits in order; may be repeated
    .expert login: logged_in = true        # target = expression; target = expression
    .circuit grant reads logged_in bad writes looked_up
      %2 = ANDN %0 %1                      # slots: the reads first, then one per line
    .out %2                                # M[12] is a bit of shared memory; see `places`
    .port get_order writes looked_up bad   # a host function and its result bits
    .const TRIES 3                         # a number with a name
    .data table 10 0x20 -3                 # words of DATA with their first values
    .space buffer 16                       # words of DATA that start as 0

    .cfg main                              # a node of the control-flow graph starts here
      SET r1, TRIES                        # operands are parted by commas or spaces
    again:
      EXPERT login
      TRAP_IF bad "order 1042 does not exist"
      HOST get_order                       # or HOST get_order, r2: with an argument
      LD r3, HOST[get_order + 1]           # what it left in its mailbox
      LD r2, DATA[table + r1 - 1]
      SUB r1, r1, 1
      JZ looked_up, again                  # a state bit, or a register: JNZ r1, again
      LOG "done"
      HALT

`disassembler.disassemble` writes every expert as `.circuit` and every name's words as `.data`, so
that assembling its text gives an equal program. The instructions are listed in `docs/isa.md`.
"""

from __future__ import annotations

import re

from bem_kernel.isa.instructions import FORMS, Form, Instruction, Operand, called_port, host
from bem_kernel.isa.operands import Names, could_be, read_operand, split_operands
from bem_kernel.isa.program import Program
from bem_kernel.isa.sections import Draft, close_node, read_section
from bem_kernel.isa.text import Token, declare, error, look_up, shown, token_lines

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _by_mnemonic() -> dict[str, list[Form]]:
    table: dict[str, list[Form]] = {}
    for form in FORMS:
        table.setdefault(form.mnemonic, []).append(form)
    return table


MNEMONICS = _by_mnemonic()
"""The forms of each mnemonic; HOST is another way to write a store to a port's doorbell."""


def assemble(text: str, source: str = "assemble") -> Program:
    """The program a text describes.

    Args:
        text: the text.
        source: where it comes from, for messages.

    Raises:
        AssembleError: whatever is wrong, with line and column.
    """
    draft = Draft()
    for tokens, line in token_lines(text, source):
        _read_line(draft, tokens, line)
    if draft.circuit:
        raise error(draft.circuit[0][0], "this circuit has no .out line", "add one")
    close_node(draft)
    names = Names(draft)
    code = tuple(_instruction(tokens, names) for tokens in draft.code)
    return Program(
        tuple(draft.bits),
        tuple(draft.experts.values()),
        tuple(draft.ports.values()),
        code,
        tuple(draft.data.values()),
        tuple(draft.nodes.values()),
        source,
    )


def _read_line(draft: Draft, tokens: list[Token], line: str) -> None:
    first = tokens[0]
    if draft.circuit and first.text != ".out":
        draft.circuit.append(tokens)
    elif first.text.startswith("."):
        read_section(draft, tokens, line)
    elif first.text.endswith(":"):
        label = first.part(0, -1)
        if not _LABEL.fullmatch(label.text):
            raise error(first, f"{shown(first.text)} is no label", "use letters, digits and _")
        declare(draft.labels, label, len(draft.code))
        if len(tokens) > 1:
            draft.code.append(tokens[1:])
    else:
        draft.code.append(tokens)


def _instruction(tokens: list[Token], names: Names) -> Instruction:
    mnemonic = tokens[0]
    operands = split_operands(tokens[1:], names)
    key = mnemonic.text.upper()
    if key == "HOST":
        return _host(mnemonic, operands, names)
    forms = MNEMONICS.get(key)
    if forms is None:
        known = ", ".join([*MNEMONICS, "HOST"])
        raise error(mnemonic, f"no instruction {shown(mnemonic.text)}", f"use {known}, or label:")
    form, kinds = _choose(forms, mnemonic, operands)
    fields = {}
    for kind, token in zip(kinds, operands, strict=True):
        fields.update(read_operand(kind, token, names))
    instruction = Instruction(form.opcode, **fields, line=mnemonic.line)
    port = called_port(instruction)
    if port is not None and port >= len(names.ports):
        raise error(mnemonic, f"port {port} does not exist", "declare it with .port NAME")
    return instruction


def _choose(
    forms: list[Form], mnemonic: Token, operands: list[Token]
) -> tuple[Form, tuple[Operand, ...]]:
    """The form that the operands fit, by number and shape, and the kinds that are given."""
    fitting = []
    for form in forms:
        for kinds in _ways(form):
            if len(kinds) == len(operands):
                shaped = [
                    could_be(kind, token) for kind, token in zip(kinds, operands, strict=True)
                ]
                fitting.append((sum(shaped), form, kinds))
    if not fitting:
        ways = " or ".join(written(form) for form in forms)
        count = len(operands)
        what = f"{mnemonic.text} does not take {count} operand{'' if count == 1 else 's'}"
        raise error(mnemonic, what, f"write {ways}")
    _, form, kinds = max(fitting, key=lambda fit: fit[0])
    return form, kinds


def _ways(form: Form) -> tuple[tuple[Operand, ...], ...]:
    """The operand lists that the text may have: all, and without the optional one."""
    if form.optional is None:
        return (form.operands,)
    return (form.operands, tuple(kind for kind in form.operands if kind is not form.optional))


def written(form: Form) -> str:
    """How an instruction is written, with what may be left out in brackets."""
    text = form.mnemonic
    for i, kind in enumerate(form.operands):
        comma = ", " if i else " "
        if kind is not form.optional:
            text += comma + kind.value
        elif i:
            text += f"[{comma}{kind.value}]"
        else:
            text += f" [{kind.value},]"
    return text.replace(",],", ",]")


def _host(mnemonic: Token, operands: list[Token], names: Names) -> Instruction:
    if len(operands) not in (1, 2):
        what = f"HOST does not take {len(operands)} operands"
        raise error(mnemonic, what, "write HOST port or HOST port, register")
    port = look_up(names.ports, operands[0], "port")
    argument = 0
    if len(operands) == 2:
        argument = read_operand(Operand.RD, operands[1], names)["rd"]
    chosen = host(port, argument)
    return Instruction(
        chosen.opcode, rd=chosen.rd, space=chosen.space, imm=chosen.imm, line=mnemonic.line
    )
