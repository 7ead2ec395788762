"""Expert templates: one expert for every handle slot.

An `ExpertTemplate` has address expressions in place of bit numbers, so one circuit serves every
handle slot: `bind(template, {"order": 3})` is the expert for order slot 3. The addresses are fixed
when the expert is made; those of `place.Place` are computed while it runs.

Source: BEM core spec 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit
from bem_kernel.errors import ExpertError
from bem_kernel.experts.expert import Expert


@dataclass(frozen=True)
class Address:
    """A state bit as an affine expression: base + sum of stride * value over parameters.

    Attributes:
        base: the bit when every parameter is 0.
        terms: (parameter, stride) pairs; a parameter is a handle slot number.
    """

    base: int
    terms: tuple[tuple[str, int], ...] = ()


_TERM = re.compile(r"\s*(?:(\d+)\s*\*\s*([A-Za-z_]\w*)|([A-Za-z_]\w*)|(\d+))\s*")


def parse_address(text: str) -> Address:
    """Parse `12 + 6*order + customer`: sums of numbers, parameters and number*parameter.

    Raises:
        ExpertError: anything else.
    """
    base = 0
    terms: dict[str, int] = {}
    for part in text.split("+"):
        match = _TERM.fullmatch(part)
        if match is None:
            raise ExpertError(
                f"cannot read {part.strip()!r}",
                where=f"address {text!r}",
                fix="write sums such as 12 + 6*order",
            )
        stride, scaled, plain, number = match.groups()
        if number is not None:
            base += int(number)
        else:
            parameter = scaled or plain
            terms[parameter] = terms.get(parameter, 0) + int(stride or 1)
    return Address(base, tuple(terms.items()))


@dataclass(frozen=True)
class ExpertTemplate:
    """An expert whose state bits depend on parameters; see `bind`."""

    name: str
    reads: tuple[Address, ...]
    circuit: Circuit
    writes: tuple[Address, ...]


def bind(template: ExpertTemplate, values: Mapping[str, int]) -> Expert:
    """The expert of `template` for these parameter values.

    Args:
        template: addresses and circuit; the circuit is shared by all bindings, so that engines
            compile it once.
        values: one number of 0 or more per parameter, for example {"order": 3}.

    Raises:
        ExpertError: a parameter has no value, or the bindings collide on a written bit.
    """

    def resolve(address: Address) -> int:
        missing = [name for name, _ in address.terms if name not in values]
        if missing:
            raise ExpertError(
                f"no value for parameter {missing[0]!r}",
                where=f"expert {template.name}",
                fix=f"bind {missing[0]} to a slot number",
            )
        return address.base + sum(stride * values[name] for name, stride in address.terms)

    arguments = ",".join(f"{name}={value}" for name, value in values.items())
    return Expert(
        f"{template.name}[{arguments}]" if arguments else template.name,
        tuple(map(resolve, template.reads)),
        template.circuit,
        tuple(map(resolve, template.writes)),
    )
