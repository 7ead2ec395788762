"""Adapters from signatures: for skills nobody trained, and at no cost for a larger library."""

import numpy as np
import pytest
import torch

from bb_nn.errors import LibraryError
from bb_nn.hypernetwork import (
    HyperFactors,
    StoredFactors,
    function_signatures,
    identifier_signatures,
)
from bb_nn.library.candidates import Candidates
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.circuits.circuit import Circuit, Gate, Op

STATE, RANK, WIDTH = 6, 12, 12
BITS = STATE + 1
KINDS = ("set", "toggle", "load", "reset")


def skill(kind, at):
    """One of a family: what it does, to which bit of the state; the state is put out."""
    b = CircuitBuilder(STATE + 2)
    s, x = list(range(STATE)), STATE + at % 2
    s[at] = {
        "set": lambda: b.or_(at, x),
        "toggle": lambda: b.xor(at, x),
        "load": lambda: x,
        "reset": lambda: b.and_(at, b.not_(x)),
    }[kind]()
    return b.build([*s, *s])


FAMILY = [(kind, at) for kind in KINDS for at in range(STATE)]
CIRCUITS = [skill(*member) for member in FAMILY]


def wanted(seed):
    """(K, bits, WIDTH): a skill is to tell of the bit that it writes, in that bit's direction."""
    torch.manual_seed(seed)
    of_bit, of_kind = torch.randn(STATE, WIDTH), torch.randn(len(KINDS), WIDTH)
    maps = torch.zeros(len(FAMILY), BITS, WIDTH)
    for k, (kind, at) in enumerate(FAMILY):
        maps[k, at] = of_bit[at]
        maps[k, -1] = of_kind[KINDS.index(kind)]
    return maps


def product(factors):
    return factors.down.transpose(1, 2) @ factors.up


def trained(hyper, maps, rows, steps=400):
    optimiser = torch.optim.AdamW(hyper.parameters(), lr=1e-2, weight_decay=1.0)
    for _ in range(steps):
        optimiser.zero_grad()
        (product(hyper.of(hyper.signatures[rows])) - maps[rows]).square().sum().backward()
        optimiser.step()
    return hyper


def held_out_errors(signatures, seed):
    """Errors on held-out skills, one of each kind: ours, the mean of the others, a random one."""
    maps = wanted(seed)
    out = [k for k, (kind, at) in enumerate(FAMILY) if at == (KINDS.index(kind) + seed) % STATE]
    rows = torch.tensor([k for k in range(len(FAMILY)) if k not in out])
    torch.manual_seed(seed)
    hyper = trained(HyperFactors(signatures, RANK, BITS, WIDTH), maps, rows)
    with torch.no_grad():
        made = product(hyper.of(signatures[out]))
        usual = product(hyper.of(signatures[rows])).mean(0)
        drawn = product(StoredFactors(len(out), RANK, BITS, WIDTH)())
    return [float((guess - maps[out]).norm()) for guess in (made, usual, drawn)]


def test_a_skill_that_nobody_trained_has_an_adapter_that_fits():
    found = np.array([held_out_errors(function_signatures(CIRCUITS), seed) for seed in range(3)])
    ours, mean, drawn = found.T
    assert (ours < 0.7 * drawn).all() and (ours < 0.75 * mean).all()


def test_identifiers_that_say_nothing_of_functions_do_not_carry_over():
    """What the row above is worth: the same with identifiers spread by a hash."""
    names = identifier_signatures(Candidates(len(FAMILY), 0).identifiers)
    by_name, by_function = (
        np.mean([held_out_errors(signatures, seed)[0] for seed in range(2)])
        for signatures in (names, function_signatures(CIRCUITS))
    )
    assert by_function < 0.7 * by_name


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_do_not_grow_with_the_library():
    sizes = {k: torch.randn(k, 128) for k in (8, 32, 256)}
    made = [count(HyperFactors(s, 12, 9, 96)) for s in sizes.values()]
    stored = [count(StoredFactors(k, 4, 9, 96)) for k in sizes]
    assert made == [12 * (128 + 1 + 9 + 96)] * 3
    assert stored == [k * 4 * 105 for k in sizes] and made[1] < stored[1]


def test_both_kinds_give_the_same_shapes():
    signatures = function_signatures(CIRCUITS)
    stored = StoredFactors(len(CIRCUITS), RANK, BITS, WIDTH)()
    hyper = HyperFactors(signatures, RANK, BITS, WIDTH)
    made = hyper()
    assert made.down.shape == stored.down.shape and made.up.shape == stored.up.shape
    assert made.flat().shape == stored.flat().shape == (len(CIRCUITS), RANK * (BITS + WIDTH))
    made.flat().square().sum().backward()
    assert all(bool(p.grad.any()) for p in hyper.parameters())


def test_a_grown_library_keeps_the_adapters_it_had():
    hyper = HyperFactors(function_signatures(CIRCUITS[:8]), RANK, BITS, WIDTH)
    before = hyper().flat()
    hyper.grow(function_signatures(CIRCUITS))
    after = hyper().flat()
    assert len(after) == len(CIRCUITS) and torch.allclose(after[:8], before, atol=1e-6)
    assert hyper.state_dict()["signatures"].shape[0] == len(CIRCUITS)


def test_half_of_a_signature_says_in_what_manner_whatever_the_bit():
    """`toggle` of one bit and of another differ in the first half, `toggle` and `set` in both."""
    names = [("toggle", 1), ("toggle", 3), ("set", 1)]
    one, same, other = (s.tensor_split(2) for s in function_signatures([skill(*n) for n in names]))
    assert not torch.allclose(one[0], same[0], atol=1.0)
    assert (one[1] - same[1]).norm() < 0.2 * (one[1] - other[1]).norm()


def test_a_signature_is_of_the_function_not_of_the_circuit():
    """x ^ y in one gate and in three; x ^ y and x & y differ."""
    plain = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
    gates = (Gate(Op.ANDN, 0, 1), Gate(Op.ANDN, 1, 0), Gate(Op.OR, 2, 3))
    other = Circuit(2, (Gate(Op.AND, 0, 1),), (2,))
    first, second, third = function_signatures([plain, Circuit(2, gates, (4,)), other])
    assert torch.equal(first, second) and not torch.allclose(first, third, atol=0.5)


def test_what_has_no_signature_is_refused():
    with pytest.raises(LibraryError, match="signatures: circuits of shapes"):
        function_signatures([CIRCUITS[0], Circuit(1, (), (0,))])
    with pytest.raises(LibraryError, match=r"signatures: circuits of shapes \[\], size 128"):
        function_signatures([])
    with pytest.raises(LibraryError, match="size 100; .* a multiple of 16"):
        function_signatures(CIRCUITS, 100)
    hyper = HyperFactors(torch.randn(3, 8), 1, 2, 4)
    with pytest.raises(LibraryError, match=r"hypernetwork: signatures of shape \(3, 7\); .*, 8\)"):
        hyper.grow(torch.randn(3, 7))
