"""The exception tree of the machine.

BBError
└── KernelError
    ├── ShapeError        an array has the wrong shape, dtype or range
    ├── CircuitError      a gate list is not a straight-line circuit
    ├── ExpressionError   a Boolean expression does not parse, or names an unknown atom
    ├── IdentifierError   an identifier field is out of range, or its code word is damaged
    ├── ExpertError       an expert does not fit its circuit or the state
    ├── ProgramError      a program refers to something that does not exist
    ├── AssembleError     assembler text does not parse
    ├── MachineError      a program cannot run on the given state or host table
    └── LedgerError       a ledger cannot be opened, is locked, or is damaged
"""

from __future__ import annotations

from bb_core.errors import BBError


class KernelError(BBError):
    """Anything the machine refuses."""


class ShapeError(KernelError):
    """An array has the wrong shape, dtype or range."""


class CircuitError(KernelError):
    """A gate list is not a straight-line circuit."""


class ExpressionError(KernelError):
    """A Boolean expression does not parse, or names an unknown atom."""


class IdentifierError(KernelError):
    """An identifier field is out of range, or its code word is damaged."""


class ExpertError(KernelError):
    """An expert does not fit its circuit or the state."""


class ProgramError(KernelError):
    """A program refers to something that does not exist."""


class AssembleError(KernelError):
    """Assembler text does not parse."""


class MachineError(KernelError):
    """A program cannot run on the given state or host table."""


class LedgerError(KernelError):
    """A ledger cannot be opened, is locked, or is damaged."""
