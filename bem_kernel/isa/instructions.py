"""The instruction set as data: what each instruction is called, takes, does, and when it traps.

Encoding, assembler, disassembler, checks and `docs/isa.md` are all made from `FORMS`; the two
interpreters (`loop`, `plain`) are what the table describes.

Source: BEM core spec 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

REGISTERS = 32
"""r0 to r31, 64 bits each; r0 is always 0."""

STACK_DEPTH = 64
"""Most calls that have not returned."""

MAILBOX_WORDS = 16
"""Words of a port's window in HOST: the doorbell, then fifteen words for numbers to and fro."""


class Opcode(IntEnum):
    """Instruction kinds; the values are part of the stored form and never change."""

    HALT = 0x01
    JMP = 0x02
    JZ = 0x03
    JNZ = 0x04
    JZ_BIT = 0x05
    JNZ_BIT = 0x06
    CALL = 0x07
    RET = 0x08
    TRAP = 0x09
    TRAP_IF = 0x0A
    TRAP_IF_BIT = 0x0B
    LOG = 0x0C
    EXPERT = 0x0D
    SET = 0x10
    ADD = 0x11
    SUB = 0x12
    MUL = 0x13
    SHL = 0x14
    SHR = 0x15
    SAR = 0x16
    AND = 0x17
    OR = 0x18
    XOR = 0x19
    LT = 0x1A
    NOT = 0x1B
    ADD_I = 0x21
    SUB_I = 0x22
    MUL_I = 0x23
    SHL_I = 0x24
    SHR_I = 0x25
    SAR_I = 0x26
    AND_I = 0x27
    OR_I = 0x28
    XOR_I = 0x29
    LT_I = 0x2A
    LD = 0x30
    ST = 0x31
    ADR = 0x32
    BEM_LOAD_STATE = 0x40
    BEM_STORE_STATE = 0x41
    BEM_ANN_QUERY = 0x42
    BEM_EXPERT_BATCH = 0x43
    BEM_UPDATE_STATS = 0x44
    BEM_SAT_CHECK = 0x45
    BEM_PROOF_CHECK = 0x46
    BEM_HOARE_CHECK = 0x47
    BEM_LOG_APPEND = 0x48
    BEM_APPLY_PATCH = 0x49


class Space(IntEnum):
    """What an address refers to. The first seven are the segments of the memory."""

    STATE = 0
    SHARED = 1
    EXPERT = 2
    CODE = 3
    TRACE = 4
    PROOF = 5
    TEACH = 6
    DATA = 7  # the program's own words, from its .data and .space lines
    HOST = 8  # MAILBOX_WORDS per port
    ANY = 15  # the register holds a whole address, as ADR makes it


SPACES = 9
"""Number of spaces that an address may lie in."""

ADDRESS_BITS = 48
"""A whole address is `space << ADDRESS_BITS | word index`."""


class Operand(Enum):
    """Kinds of operands; the value is how documentation and messages call them."""

    RD = "rd"
    RA = "ra"
    RB = "rb"
    IMM = "number"
    AMOUNT = "amount"
    SHIFT = "shift"
    BIT = "bit"
    TARGET = "label"
    TEXT = "text"
    EXPERT = "expert"
    ADDRESS = "address"
    COUNT = "count"


FIELDS: dict[Operand, tuple[str, ...]] = {
    Operand.RD: ("rd",),
    Operand.RA: ("ra",),
    Operand.RB: ("rb",),
    Operand.IMM: ("imm",),
    Operand.AMOUNT: ("imm",),
    Operand.SHIFT: ("shift",),
    Operand.BIT: ("bit",),
    Operand.TARGET: ("imm",),
    Operand.TEXT: ("text",),
    Operand.EXPERT: ("imm",),
    Operand.ADDRESS: ("space", "ra", "imm"),
    Operand.COUNT: ("count",),
}
"""The fields of `Instruction` that an operand of each kind fills."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; fields that its form does not use keep their defaults.

    Attributes:
        opcode: what to do.
        rd: destination register; for ST the register whose value is stored.
        ra: first source register; for addresses the register that is added.
        rb: second source register.
        imm: signed number of 32 bits: a constant, a word index, a jump target or an expert.
        shift: right shift of MUL, 0 to 63.
        space: the space of an address.
        count: a small count, 1 to 32.
        bit: a state bit, below 2^24.
        text: a message.
        line: line of the source text, 0 if there is none; no part of the program's meaning.
    """

    opcode: Opcode
    rd: int = 0
    ra: int = 0
    rb: int = 0
    imm: int = 0
    shift: int = 0
    space: Space = Space.STATE
    count: int = 1
    bit: int = 0
    text: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Form:
    """One row of the instruction set.

    Attributes:
        opcode: its number.
        mnemonic: its name in text; forms that differ only in their operands share it.
        operands: in the order of the text.
        meaning: one sentence for the table of the documentation.
        traps: names of `core.Stop` that it can end in.
        optional: an operand that the text may leave out: a first RD (then r0), a last SHIFT
            (then 0) or a last COUNT (then 1).
    """

    opcode: Opcode
    mnemonic: str
    operands: tuple[Operand, ...]
    meaning: str
    traps: tuple[str, ...] = ()
    optional: Operand | None = None


def _alu(name: str, meaning: str) -> tuple[Form, Form]:
    """The register form and the immediate form of `rd <- ra op rb`."""
    second = Operand.AMOUNT if name in ("SHL", "SHR", "SAR") else Operand.IMM
    shift = (Operand.SHIFT,) if name == "MUL" else ()
    optional = Operand.SHIFT if name == "MUL" else None
    head = (Operand.RD, Operand.RA)
    return (
        Form(Opcode[name], name, (*head, Operand.RB, *shift), meaning, optional=optional),
        Form(
            Opcode[f"{name}_I"],
            name,
            (*head, second, *shift),
            meaning.replace("(rb mod 64)", "amount").replace("rb", second.value),
            optional=optional,
        ),
    )


def _unit(name: str, meaning: str) -> Form:
    """A call of a co-processor with a descriptor in memory."""
    traps = ("BOUNDS", "NO_UNIT", "REFUSED", "LATENCY")
    operands = (Operand.RD, Operand.ADDRESS)
    return Form(Opcode[name], name, operands, meaning, traps, optional=Operand.RD)


_ACCESS = ("BOUNDS", "RIGHTS")

FORMS: tuple[Form, ...] = (
    Form(Opcode.HALT, "HALT", (), "end the program"),
    Form(Opcode.JMP, "JMP", (Operand.TARGET,), "jump"),
    Form(Opcode.JZ, "JZ", (Operand.RA, Operand.TARGET), "jump if ra is 0"),
    Form(Opcode.JNZ, "JNZ", (Operand.RA, Operand.TARGET), "jump if ra is not 0"),
    Form(Opcode.JZ_BIT, "JZ", (Operand.BIT, Operand.TARGET), "jump if bit is 0 in every lane"),
    Form(Opcode.JNZ_BIT, "JNZ", (Operand.BIT, Operand.TARGET), "jump if bit is 1 in any lane"),
    Form(
        Opcode.CALL,
        "CALL",
        (Operand.TARGET,),
        f"jump; RET comes back here; at most {STACK_DEPTH} calls deep",
        ("STACK_FULL",),
    ),
    Form(Opcode.RET, "RET", (), "go on after the last CALL", ("STACK_EMPTY",)),
    Form(Opcode.TRAP, "TRAP", (Operand.TEXT,), "stop with the text", ("RAISED",)),
    Form(
        Opcode.TRAP_IF,
        "TRAP_IF",
        (Operand.RA, Operand.TEXT),
        "stop with the text if ra is not 0",
        ("RAISED",),
    ),
    Form(
        Opcode.TRAP_IF_BIT,
        "TRAP_IF",
        (Operand.BIT, Operand.TEXT),
        "stop with the text if bit is 1 in any lane",
        ("RAISED",),
    ),
    Form(Opcode.LOG, "LOG", (Operand.TEXT,), "hand the text and the program counter to the log"),
    Form(
        Opcode.EXPERT,
        "EXPERT",
        (Operand.EXPERT,),
        "apply one of the program's experts in all lanes",
        ("EXPERT",),
    ),
    Form(Opcode.SET, "SET", (Operand.RD, Operand.IMM), "rd ← number"),
    *_alu("ADD", "rd ← ra + rb, modulo 2^64"),
    *_alu("SUB", "rd ← ra - rb, modulo 2^64"),
    *_alu("MUL", "rd ← (ra · rb) >> shift: the 128-bit product, rounded down, modulo 2^64"),
    *_alu("SHL", "rd ← ra << (rb mod 64)"),
    *_alu("SHR", "rd ← ra >> (rb mod 64), zeros come in"),
    *_alu("SAR", "rd ← ra >> (rb mod 64), the sign comes in"),
    *_alu("AND", "rd ← ra & rb"),
    *_alu("OR", "rd ← ra | rb"),
    *_alu("XOR", "rd ← ra ^ rb"),
    *_alu("LT", "rd ← 1 if ra < rb as signed numbers, else 0"),
    Form(Opcode.NOT, "NOT", (Operand.RD, Operand.RA), "rd ← ~ra"),
    Form(Opcode.LD, "LD", (Operand.RD, Operand.ADDRESS), "rd ← the word at address", _ACCESS),
    Form(
        Opcode.ST,
        "ST",
        (Operand.RD, Operand.ADDRESS),
        "the word at address ← rd; a port's doorbell calls its host function",
        _ACCESS,
    ),
    Form(Opcode.ADR, "ADR", (Operand.RD, Operand.ADDRESS), "rd ← the address itself", ("BOUNDS",)),
    Form(
        Opcode.BEM_LOAD_STATE,
        "BEM_LOAD_STATE",
        (Operand.RD, Operand.ADDRESS, Operand.RB, Operand.COUNT),
        "count state bits from bit number rd on ← words at address, in the first rb lanes "
        "(0: all); ceil(lanes / 64) words a bit",
        (*_ACCESS, "LANES", "BITS"),
        Operand.COUNT,
    ),
    Form(
        Opcode.BEM_STORE_STATE,
        "BEM_STORE_STATE",
        (Operand.RD, Operand.ADDRESS, Operand.RB, Operand.COUNT),
        "the inverse: words at address ← count state bits; lanes past the last are 0",
        (*_ACCESS, "LANES", "BITS"),
        Operand.COUNT,
    ),
    Form(
        Opcode.BEM_ANN_QUERY,
        "BEM_ANN_QUERY",
        (Operand.RD, Operand.RB, Operand.ADDRESS, Operand.COUNT),
        "words at address ← the slots of the count identifiers nearest to rb, best first; "
        "rd ← how many",
        (*_ACCESS, "NO_UNIT", "REFUSED", "LATENCY"),
    ),
    _unit("BEM_EXPERT_BATCH", "apply experts by slot, each in its own lanes"),
    _unit("BEM_UPDATE_STATS", "add wins, visits and loss to an expert's statistics"),
    _unit("BEM_SAT_CHECK", "is a formula satisfiable? rd ← 0 UNSAT, 1 SAT, 2 INVALID"),
    _unit("BEM_PROOF_CHECK", "check a proof; rd ← 1 ACCEPT, 0 REJECT"),
    _unit("BEM_HOARE_CHECK", "check Hoare annotations; rd ← 1 ACCEPT, 0 REJECT"),
    _unit("BEM_LOG_APPEND", "append words to the hash-chained log; rd ← the entry's index"),
    _unit("BEM_APPLY_PATCH", "apply a verified patch; rd ← 1 applied, 0 refused"),
)

FORM: dict[Opcode, Form] = {form.opcode: form for form in FORMS}
"""The form of each opcode."""


def halt() -> Instruction:
    """End the program."""
    return Instruction(Opcode.HALT)


def expert(index: int) -> Instruction:
    """Apply expert `index` of the program's table."""
    return Instruction(Opcode.EXPERT, imm=index)


def trap_if(bit: int, text: str) -> Instruction:
    """Trap with `text` if state bit `bit` is 1 in any lane."""
    return Instruction(Opcode.TRAP_IF_BIT, bit=bit, text=text)


def host(port: int, argument: int = 0) -> Instruction:
    """Call the host function of port `port` with the value of register `argument`.

    It is a store to the port's doorbell.
    """
    return Instruction(Opcode.ST, rd=argument, space=Space.HOST, imm=MAILBOX_WORDS * port)


def jump(target: int) -> Instruction:
    """Jump to `target`."""
    return Instruction(Opcode.JMP, imm=target)


def jump_if_zero(bit: int, target: int) -> Instruction:
    """Jump to `target` if state bit `bit` is 0 in every lane."""
    return Instruction(Opcode.JZ_BIT, bit=bit, imm=target)


def log(text: str) -> Instruction:
    """Hand `text` to the log."""
    return Instruction(Opcode.LOG, text=text)


def called_port(instruction: Instruction) -> int | None:
    """The port whose doorbell an instruction always rings; None if it is not of that kind."""
    doorbell = (
        instruction.opcode is Opcode.ST
        and instruction.space is Space.HOST
        and instruction.ra == 0
        and instruction.imm >= 0
        and instruction.imm % MAILBOX_WORDS == 0
    )
    return instruction.imm // MAILBOX_WORDS if doorbell else None
