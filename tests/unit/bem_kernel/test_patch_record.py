"""Records of patches: there and back, and what is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from bb_core.canonical import canonical_json
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.place import Field, Place, Scatter, Space, shared_bit
from bem_kernel.patches.history import history
from bem_kernel.patches.patch import Entry, Kind, Patch, Scope
from bem_kernel.patches.record import patch_from_record, patch_record

MOVED = Place(Space.SHARED, 40, ((Field(8, 4), -2),))
FAR = Expert(
    "far",
    (3,),
    Circuit(2, (Gate(Op.XOR, 0, 1),), (2, 0)),
    (4,),
    (shared_bit(7),),
    (Scatter(MOVED, 0),),
    Condition(5, False),
)
A, B = "a" * 64, "b" * 64
CARE = Scope((0, 4), compile_expressions(["a & !b"], ["a", "b"]))
PATCHES = [
    Patch(Kind.REPLACE, A, B, "why", (("by", "me"),), (7,), (Entry(7, FAR, False),), scope=CARE),
    Patch(Kind.ADD, A, B, "", added=(Entry(9, FAR, True, (4, 5)),)),
    Patch(Kind.REMAP, A, B, "", order=(3, 1, 2)),
]


@pytest.mark.parametrize("patch", PATCHES)
def test_there_and_back(patch: Patch) -> None:
    record = json.loads(canonical_json(patch_record(patch)))
    again = patch_from_record(record)
    assert again == patch and again.fingerprint == patch.fingerprint


def test_every_part_is_in_the_fingerprint() -> None:
    """Change each leaf of a record; whatever is still a patch has another fingerprint."""
    original = json.loads(canonical_json(patch_record(PATCHES[0])))
    seen = 0
    for path in list(leaves(original)):
        record = copy.deepcopy(original)
        holder: Any = record
        for key in path[:-1]:
            holder = holder[key]
        value = holder[path[-1]]
        holder[path[-1]] = value + 1 if type(value) is int else "c" * 64
        try:
            changed = patch_from_record(record)
        except PatchError:
            continue
        seen += 1
        assert changed.fingerprint != PATCHES[0].fingerprint, path
    assert seen >= 10


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    else:
        yield path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "bem-patch-2"}, "x.json: format: Input should be 'bem-patch-1'"),
        ({"kind": "paint"}, "x.json: kind: Input should be"),
        ({"before": "12"}, "x.json: before: String should match"),
        ({"extra": 1}, "x.json: extra: Extra inputs are not permitted"),
        ({"removed": [-1]}, r"x.json: removed.0: Input should be greater"),
        ({"removed": []}, "x.json: replace patch: 0 go and 1 come"),
        ({"scope": {"bits": [1], "care": None}}, "x.json: scope: a care circuit of 0 inputs"),
    ],
)
def test_records_that_are_no_patch(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PatchError, match=message):
        patch_from_record(patch_record(PATCHES[0]) | change, "x.json")
    with pytest.raises(PatchError, match="x.json: the record: Input should be"):
        patch_from_record([], "x.json")


def test_logs_that_do_not_hold_together() -> None:
    undo = {"kind": "patch.undo", "of": 0}
    with pytest.raises(
        PatchError, match="log: entry 1: undoes what is not the last patch in force"
    ):
        history([{"kind": "other"}, undo])
    with pytest.raises(PatchError, match="withdraws a change where there is none"):
        history([{"kind": "patch.withdraw"}])
    record = patch_record(PATCHES[0])
    entry = {"kind": "patch.apply", "patch": record, "before": A, "after": B}
    with pytest.raises(PatchError, match="log: entry 0: its hashes are not those of its patch"):
        history([entry | {"after": A}])
    whole = entry | {"undo": {"gone": [], "order": [], "invariants": []}}
    with pytest.raises(PatchError, match="log: entry 2: does not begin at structure bbbbbbbb"):
        history([{"kind": "patch.base", "structure": A}, whole, whole])
    again = [whole, {"kind": "patch.withdraw"}, whole, {"kind": "patch.undo", "of": 2}, whole]
    assert [change.index for change in history(again).applied] == [4]
    with pytest.raises(PatchError, match="log: entry 0: the record: Input should be a valid dict"):
        history([entry | {"undo": None}])
    numbers = {"identifier": 7, "findable": True, "rank": 0, "numbers": {"wins": "many"}}
    gone = numbers | {"expert": record["added"][0]["expert"]}
    with pytest.raises(PatchError, match="what undoes it is damaged: invalid literal"):
        history([entry | {"undo": {"gone": [gone], "order": [], "invariants": []}}])
