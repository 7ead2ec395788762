"""How large a machine is: fixed when its memory is made.

Source: BEM core spec 1.1, 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from bem_kernel.errors import SegmentError

MAX_SIZE = 1 << 36
"""The largest value of any size."""

_ZERO_ALLOWED = frozenset(
    ("shared_words", "expert_words", "code_words", "trace_words", "proof_words", "teach_words")
)


@dataclass(frozen=True)
class MachineConfig:
    """The sizes of one machine.

    Attributes:
        n_bits: N, bits of the state s of one lane.
        n_shared_bits: K, bits of the shared memory M; a multiple of 64, more than N.
        n_parameters: P, entries of the parameter vector Θ, int64 each.
        lanes: W, states held side by side.
        max_experts: slots of the expert table.
        shared_words: room in SHARED beside M and Θ, in 64-bit words: slot maps, duals, tables.
        expert_words: size of EXPERT, in words.
        code_words: size of CODE, in words.
        trace_words: size of TRACE, in words.
        proof_words: size of PROOF, in words.
        teach_words: size of TEACH, in words.

    Raises:
        SegmentError: a size is no integer or out of range, K is not a multiple of 64, or K <= N.
    """

    n_bits: int = 1024
    n_shared_bits: int = 65536
    n_parameters: int = 1024
    lanes: int = 64
    max_experts: int = 1024
    shared_words: int = 1 << 16
    expert_words: int = 1 << 18
    code_words: int = 1 << 16
    trace_words: int = 1 << 16
    proof_words: int = 1 << 16
    teach_words: int = 1 << 16

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in _ZERO_ALLOWED else 1
            if isinstance(value, bool) or not isinstance(value, int):
                raise _refused(f"{name} is {value!r}", "use an integer")
            if not least <= value <= MAX_SIZE:
                raise _refused(f"{name} is {value}", f"use {least} to {MAX_SIZE}")
        if self.n_shared_bits % 64:
            raise _refused(
                f"n_shared_bits is {self.n_shared_bits}",
                f"use a multiple of 64, such as {-(-self.n_shared_bits // 64) * 64}",
            )
        if self.n_shared_bits <= self.n_bits:
            raise _refused(
                f"n_shared_bits is {self.n_shared_bits}, n_bits {self.n_bits}",
                "M holds more bits than s: use a larger n_shared_bits",
            )


def config_from_record(record: object, where: str) -> MachineConfig:
    """The configuration in a mapping such as a YAML file holds; what it leaves out has defaults.

    Args:
        record: plain data from outside.
        where: the file or field, for messages.

    Raises:
        SegmentError: the record is no mapping, has an unknown key, or a size is out of range.
    """
    if not isinstance(record, Mapping):
        raise SegmentError(
            f"expected a mapping, got {type(record).__name__}",
            where=where,
            fix="write lines such as n_bits: 1024",
        )
    known = [field.name for field in fields(MachineConfig)]
    for key in record:
        if key not in known:
            raise SegmentError(
                f"unknown size {key!r}", where=where, fix=f"use one of {', '.join(known)}"
            )
    try:
        return MachineConfig(**record)
    except SegmentError as error:
        raise SegmentError(error.what, where=where, fix=error.fix) from error


def config_record(config: MachineConfig) -> dict[str, int]:
    """The sizes as a plain mapping; inverse of `config_from_record`."""
    return asdict(config)


def _refused(what: str, fix: str) -> SegmentError:
    return SegmentError(what, where="machine configuration", fix=fix)
