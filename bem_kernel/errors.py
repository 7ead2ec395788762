"""The exception tree of the machine.

BBError
└── KernelError
    ├── ShapeError        an array has the wrong shape, dtype or range
    ├── CircuitError      a gate list is not a straight-line circuit
    ├── DrawingError      a picture would be too large to read, or its labels do not fit
    ├── EngineError       an engine cannot run here, or not on this input
    ├── CnfError          a formula in conjunctive normal form does not hold together
    ├── ProofError        a proof is malformed; a false one is rejected, not an error
    ├── ExpressionError   a Boolean expression does not parse, or names an unknown atom
    ├── IdentifierError   an identifier field is out of range, or its code word is damaged
    ├── SegmentError      memory is too small, or an address or right in it does not hold
    ├── ImageError        a memory image cannot be read, or is damaged
    ├── QueueError        a bounded queue of commands is full
    ├── MerkleError       a Merkle tree or proof does not hold together
    ├── SearchError       a table of identifiers has no such slot, or the slot is taken
    ├── ExpertError       an expert does not fit its circuit or the state
    ├── ProgramError      a program refers to something that does not exist
    ├── AssembleError     assembler text does not parse
    ├── MachineError      a program cannot run on the given state or host table
    ├── RunnerError       a machine, an observation, a reward or a run cannot be meant
    ├── SynthesisError    a function cannot be synthesised, or a file of circuits does not parse
    ├── HoareError        annotations do not fit their program, or it is beyond the model
    ├── PatchError        a patch does not hold together, or its certificate is not for it
    ├── LearningError     examples, a language or a learned program do not hold together
    └── LedgerError       a ledger cannot be opened or written, or is damaged
        └── LedgerHeldError  another writer holds it
"""

from __future__ import annotations

from bb_core.errors import BBError


class KernelError(BBError):
    """Anything the machine refuses."""


class ShapeError(KernelError):
    """An array has the wrong shape, dtype or range."""


class CircuitError(KernelError):
    """A gate list is not a straight-line circuit."""


class EngineError(KernelError):
    """An engine cannot run here, or not on this input."""


class CnfError(KernelError):
    """A formula in conjunctive normal form does not hold together."""


class ProofError(KernelError):
    """A proof is malformed; a false one is rejected, which is no error."""


class DrawingError(KernelError):
    """A picture would be too large to read, or its labels do not fit."""


class ExpressionError(KernelError):
    """A Boolean expression does not parse, or names an unknown atom."""


class IdentifierError(KernelError):
    """An identifier field is out of range, or its code word is damaged."""


class SegmentError(KernelError):
    """Memory is too small, or an address or right in it does not hold."""


class ImageError(KernelError):
    """A memory image cannot be read, or is damaged."""


class QueueError(KernelError):
    """A bounded queue of commands is full."""


class MerkleError(KernelError):
    """A Merkle tree or proof does not hold together."""


class SearchError(KernelError):
    """A table of identifiers has no such slot, or the slot is taken."""


class ExpertError(KernelError):
    """An expert does not fit its circuit or the state."""


class ProgramError(KernelError):
    """A program refers to something that does not exist."""


class AssembleError(KernelError):
    """Assembler text does not parse."""


class MachineError(KernelError):
    """A program cannot run on the given state or host table."""


class RunnerError(KernelError):
    """A machine, an observation, a reward or a run cannot be meant."""


class SynthesisError(KernelError):
    """A function cannot be synthesised, or a file of circuits does not parse."""


class HoareError(KernelError):
    """Annotations do not fit their program, or the program is beyond the model."""


class LearningError(KernelError):
    """Examples, a language or a learned program do not hold together."""


class PatchError(KernelError):
    """A patch does not hold together, or its certificate is not for it."""


class LedgerError(KernelError):
    """A ledger cannot be opened or written, or is damaged."""


class LedgerHeldError(LedgerError):
    """Another writer holds a ledger."""
