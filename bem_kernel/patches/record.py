"""Patches and experts as JSON records: the stored form, and what fingerprints are taken over.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bem_kernel.circuits.record import CircuitModel, circuit_record
from bem_kernel.errors import KernelError, PatchError
from bem_kernel.experts.record import Bit, ExpertModel, expert_record
from bem_kernel.isa.encoding import decode, encode_program, texts_of
from bem_kernel.isa.program import Node
from bem_kernel.patches.patch import Entry, Invariant, Kind, Patch, Predicate, Scope
from bem_kernel.patches.region import Region

FORMAT = "bem-patch-1"

_Place = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
_Word = Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]
_Integer = Annotated[int, Field(ge=-(1 << 48), le=1 << 48, strict=True)]
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Flag = Annotated[bool, Field(strict=True)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Scope(_Record):
    bits: list[Bit]
    care: CircuitModel | None


class InvariantModel(_Record):
    """The shape of an invariant's record."""

    name: str
    bits: list[Bit]
    circuit: CircuitModel
    lemma: bool = False

    def invariant(self) -> Invariant:
        """The invariant in the record.

        Raises:
            KernelError: it is none.
        """
        holds = Predicate(tuple(self.bits), self.circuit.circuit())
        return Invariant(self.name, holds, self.lemma)


class _Entry(_Record):
    identifier: _Word
    expert: ExpertModel
    findable: _Flag
    inherits: list[_Word]


class _Region(_Record):
    start: _Place
    end: _Place
    texts: list[str]
    code: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]]
    experts: list[ExpertModel]
    nodes: list[tuple[str, _Place, _Place]]
    preserves: _Flag

    def region(self) -> Region:
        code = [decode(int(word, 16), self.texts, "region.code") for word in self.code]
        return Region(
            self.start,
            self.end,
            tuple(code),
            tuple(expert.expert() for expert in self.experts),
            tuple(Node(*node) for node in self.nodes),
            self.preserves,
        )


class _Patch(_Record):
    format: Literal["bem-patch-1"]
    kind: Kind
    before: _Hash
    after: _Hash
    reason: str
    provenance: list[tuple[str, str]]
    removed: list[_Word]
    added: list[_Entry]
    charges: list[tuple[_Word, _Integer]]
    order: list[_Word]
    scope: _Scope
    invariants: list[InvariantModel]
    region: _Region | None = None


def scope_record(scope: Scope) -> dict[str, Any]:
    """A scope as JSON values."""
    care = None if scope.care is None else circuit_record(scope.care)
    return {"bits": list(scope.bits), "care": care}


def invariant_record(invariant: Invariant) -> dict[str, Any]:
    """An invariant as JSON values."""
    holds = invariant.holds
    return {
        **({"lemma": True} if invariant.lemma else {}),
        "name": invariant.name,
        "bits": list(holds.bits),
        "circuit": circuit_record(holds.circuit),
    }


def region_record(region: Region) -> dict[str, Any]:
    """A region as JSON values; instructions are their words, in hex."""
    texts = texts_of(region.code)
    return {
        "start": region.start,
        "end": region.end,
        "texts": list(texts),
        "code": [f"{word:016x}" for word in encode_program(region.code, texts).tolist()],
        "experts": [expert_record(expert) for expert in region.experts],
        "nodes": [[node.name, node.start, node.end] for node in region.nodes],
        "preserves": region.preserves,
    }


def patch_record(patch: Patch) -> dict[str, Any]:
    """A patch as JSON values."""
    region = {} if patch.region is None else {"region": region_record(patch.region)}
    return region | {
        "format": FORMAT,
        "kind": patch.kind.value,
        "before": patch.before,
        "after": patch.after,
        "reason": patch.reason,
        "provenance": [list(pair) for pair in patch.provenance],
        "removed": list(patch.removed),
        "added": [
            {
                "identifier": entry.identifier,
                "expert": expert_record(entry.expert),
                "findable": entry.findable,
                "inherits": list(entry.inherits),
            }
            for entry in patch.added
        ],
        "charges": [list(pair) for pair in patch.charges],
        "order": list(patch.order),
        "scope": scope_record(patch.scope),
        "invariants": [invariant_record(each) for each in patch.invariants],
    }


def patch_from_record(record: object, where: str = "patch record") -> Patch:
    """Inverse of `patch_record`.

    Args:
        record: JSON values from anywhere.
        where: the file, for messages.

    Raises:
        PatchError: the record has another shape (the message names the field), or its parts do
            not make a patch.
    """
    try:
        read = _Patch.model_validate(record)
        return _patch(read)
    except ValidationError as error:
        raise refused_record(error, where) from error
    except KernelError as error:
        raise PatchError(error.what, where=f"{where}: {error.where}", fix=error.fix) from error


def refused_record(error: ValidationError, where: str) -> PatchError:
    """The error for a record of another shape, which names the first bad field."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return PatchError(
        f"{place or 'the record'}: {first['msg']}", where=where, fix="write it with bem patch"
    )


def _patch(read: _Patch) -> Patch:
    care = None if read.scope.care is None else read.scope.care.circuit()
    return Patch(
        read.kind,
        read.before,
        read.after,
        read.reason,
        tuple(read.provenance),
        tuple(read.removed),
        tuple(
            Entry(entry.identifier, entry.expert.expert(), entry.findable, tuple(entry.inherits))
            for entry in read.added
        ),
        tuple(read.charges),
        tuple(read.order),
        Scope(tuple(read.scope.bits), care),
        tuple(each.invariant() for each in read.invariants),
        None if read.region is None else read.region.region(),
    )
