"""Where fluents lie in the state."""

from __future__ import annotations

from bb_domains.compiler import PlanMachine
from bb_domains.fluents import Atom


def test_every_bit_has_its_own_name(machine: PlanMachine) -> None:
    names = machine.layout.names
    assert len(names) == machine.layout.n_bits == len(set(names))
    assert names[-1] == "BAD"


def test_addresses_agree_with_names(machine: PlanMachine) -> None:
    layout = machine.layout
    for slots in [(0, 0), (0, 2), (1, 0), (1, 2)]:
        bit = layout.bit(Atom("owns", ("c", "o")), dict(zip("co", slots, strict=True)))
        assert layout.names[bit] == f"owns(customer{slots[0]},order{slots[1]})"


def test_bound_bits_follow_the_ordinals(machine: PlanMachine) -> None:
    layout = machine.layout
    assert layout.names[layout.bound_bit("customer", 1)] == "bound(customer1)"
    assert layout.bound_bit("customer", 1) == layout.bound_base + layout.ordinal("customer", 1)


def test_one_object_twice_adds_its_strides(machine: PlanMachine) -> None:
    layout = machine.layout
    address = layout.address(Atom("owns", ("x", "x")))
    assert layout.names[address.base + dict(address.terms)["x"]] == "owns(customer1,order1)"
