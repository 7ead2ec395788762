"""Experts as JSON records: what programs, patches and their logs store of one.

Source: DESIGN 7 (records are canonical JSON).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bem_kernel.circuits.record import CircuitModel, circuit_record
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field as FieldOfM
from bem_kernel.experts.place import Place, Scatter, Space

Bit = Annotated[int, Field(ge=0, lt=1 << 48, strict=True)]
"""The number of a state bit."""

_Integer = Annotated[int, Field(ge=-(1 << 48), le=1 << 48, strict=True)]
_Flag = Annotated[bool, Field(strict=True)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Place(_Record):
    space: Annotated[int, Field(ge=0, le=1, strict=True)]
    base: _Integer
    terms: list[tuple[_Integer, _Integer, _Integer]]

    def place(self) -> Place:
        terms = tuple((FieldOfM(offset, width), stride) for offset, width, stride in self.terms)
        return Place(Space(self.space), self.base, terms)


class _Scatter(_Place):
    enable: Annotated[int, Field(ge=0, lt=1 << 31, strict=True)] | None


class ExpertModel(_Record):
    """The shape of what `expert_record` writes."""

    name: str
    reads: list[Bit]
    circuit: CircuitModel
    writes: list[Bit]
    gathers: list[_Place] = []
    scatters: list[_Scatter] = []
    condition: tuple[Bit, _Flag] | None = None

    def expert(self) -> Expert:
        """The expert in the record.

        Raises:
            KernelError: it is none.
        """
        return Expert(
            self.name,
            tuple(self.reads),
            self.circuit.circuit(),
            tuple(self.writes),
            tuple(place.place() for place in self.gathers),
            tuple(Scatter(place.place(), place.enable) for place in self.scatters),
            None if self.condition is None else Condition(*self.condition),
        )


def expert_record(expert: Expert) -> dict[str, Any]:
    """An expert as JSON values; what few experts have is there only if they have it."""
    record: dict[str, Any] = {
        "name": expert.name,
        "reads": list(expert.reads),
        "circuit": circuit_record(expert.circuit),
        "writes": list(expert.writes),
    }
    if expert.gathers:
        record["gathers"] = [_place_record(place) for place in expert.gathers]
    if expert.scatters:
        record["scatters"] = [
            _place_record(scatter.place) | {"enable": scatter.enable} for scatter in expert.scatters
        ]
    if expert.condition is not None:
        record["condition"] = [expert.condition.bit, expert.condition.value]
    return record


def _place_record(place: Place) -> dict[str, Any]:
    terms = [[field.offset, field.width, stride] for field, stride in place.terms]
    return {"space": int(place.space), "base": place.base, "terms": terms}
