"""Drawings: well-formed SVG that shows what there is, inside its own frame."""

from __future__ import annotations

import re
from random import Random
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from bem_kernel.circuits import arith
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.drawing import draw_circuit
from bem_kernel.circuits.expression import compile_expressions
from bem_kernel.circuits.plane_drawing import draw_planes
from bem_kernel.circuits.random_circuit import random_circuit
from bem_kernel.errors import DrawingError, ShapeError
from bem_kernel.forms.packed_table import table_from_circuit
from bem_kernel.forms.robdd import Robdd, robdd_from_table
from bem_kernel.forms.robdd_drawing import draw_robdd
from bem_kernel.lanes import pack_bits

SVG = "{http://www.w3.org/2000/svg}"


def parse(text: str) -> Element:
    """The document, after checking that what it places lies within its frame."""
    root = ElementTree.fromstring(text)
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    for tag, x, y in (("rect", "x", "y"), ("circle", "cx", "cy"), ("text", "x", "y")):
        for found in root.iter(SVG + tag):
            left, top = int(found.get(x, "0")), int(found.get(y, "0"))
            assert 0 <= left <= left + int(found.get("width", "0")) <= width
            assert 0 <= top <= top + int(found.get("height", "0")) <= height
    for path in root.iter(SVG + "path"):
        for x, y in re.findall(r"M(-?\d+) (-?\d+)", path.attrib["d"]):
            assert 0 <= int(x) <= width
            assert 0 <= int(y) <= height
    return root


def classes(root: Element, name: str) -> list[Element]:
    return [found for found in root.iter() if name in found.get("class", "").split()]


def texts(root: Element) -> list[str]:
    return ["".join(found.itertext()) for found in root.iter(SVG + "text")]


def diagram_of(circuit: Circuit) -> Robdd:
    return robdd_from_table(table_from_circuit(circuit))


def test_a_circuit_has_a_shape_for_each_gate_and_a_wire_for_each_slot_read() -> None:
    circuit = compile_expressions(["a & !b -> (c ^ d)", "a | b", "true"], list("abcd"))
    root = parse(draw_circuit(circuit, list("abcd"), ["ok", "either", "one"]))
    titles = [found.text for gate in classes(root, "gate") for found in gate.iter(SVG + "title")]
    assert len(titles) == len(circuit.gates)
    assert "slot 4: ANDN of slot 0, slot 1" in titles
    assert [t for t in texts(root) if t in "abcd"] == list("abcd")
    assert {"ok", "either", "one", "1"} <= set(texts(root))
    read = {s for gate in circuit.gates for s in (gate.a, gate.b)[: 2 - (gate.op is Op.NOT)]}
    assert len(classes(root, "wire")) == len(read | set(circuit.outputs))


def test_the_second_operand_of_andn_has_the_bubble_wherever_it_enters() -> None:
    for gate in (Gate(Op.ANDN, 0, 1), Gate(Op.ANDN, 1, 0)):
        root = parse(draw_circuit(Circuit(2, (gate,), (2,))))
        (bubble,) = root.iter(SVG + "circle")
        sources = {
            "".join(pill.itertext()): int(next(pill.iter(SVG + "text")).attrib["y"])
            for pill in classes(root, "input")
        }
        inverted = sources[f"x{gate.b}"]
        upright = sources[f"x{gate.a}"]
        assert (int(bubble.attrib["cy"]) < (inverted + upright) // 2) == (inverted < upright)


@pytest.mark.parametrize("seed", range(8))
def test_any_circuit_can_be_drawn(seed: int) -> None:
    rng = Random(seed)
    circuit = random_circuit(rng, rng.randrange(4), rng.randrange(1, 30), rng.randrange(5))
    root = parse(draw_circuit(circuit))
    assert len(classes(root, "gate")) == len(circuit.gates)
    assert len(classes(root, "output")) == circuit.n_outputs
    assert draw_circuit(circuit) == draw_circuit(circuit)
    if circuit.n_inputs:
        parse(draw_robdd(diagram_of(circuit)))


def test_circuits_without_gates_or_anything() -> None:
    assert len(classes(parse(draw_circuit(Circuit(2, (), (1, 0, 0)))), "wire")) == 2
    parse(draw_circuit(Circuit(0, (), ())))
    parse(draw_robdd(diagram_of(Circuit(0, (), ()))))
    root = parse(draw_robdd(diagram_of(arith.constant(1, 1))))
    assert texts(root) == ["1", "y0"]


def test_names_are_escaped_and_controls_replaced() -> None:
    root = parse(draw_circuit(Circuit(1, (), (0,)), ['<&">\x00'], ["y\n"]))
    assert texts(root) == ['<&">\N{REPLACEMENT CHARACTER}', "y\N{REPLACEMENT CHARACTER}"]


def test_a_diagram_has_a_box_for_each_node_and_two_kinds_of_lines() -> None:
    diagram = diagram_of(arith.add(2))
    root = parse(draw_robdd(diagram, ["a", "b", "c", "d"], ["s0", "s1", "carry"]))
    assert len(classes(root, "node")) == len(diagram.nodes)
    assert len(classes(root, "root")) == 3
    assert sorted(texts(root))[:2] == ["0", "1"]
    targets = {(int(low), "low") for low in diagram.nodes[:, 1]}
    targets |= {(int(high), "high") for high in diagram.nodes[:, 2]}
    assert len(classes(root, "low")) + len(classes(root, "high")) == len(targets)
    titles = [found.text or "" for found in root.iter(SVG + "title")]
    variable, low, high = diagram.nodes[-1].tolist()
    assert f"node {len(titles) + 1}: {'abcd'[variable]} ? {high} : {low}" in titles


def cells(root: Element) -> dict[int, str]:
    """The path of each shade."""
    return {
        int(found.attrib["class"][1:]): found.attrib["d"]
        for found in root.iter(SVG + "path")
        if re.fullmatch(r"s\d", found.get("class", ""))
    }


def test_one_lane_over_time() -> None:
    bits = [[1, 0], [1, 0], [0, 0], [1, 1]]  # a: steps 0, 1 and 3; b: step 3
    history = np.stack([pack_bits(np.array([row], dtype=bool)) for row in bits])
    text = draw_planes(history, ["a", "b"], 1, ["w", "x", "y", "z"])
    root = parse(text)
    assert {"a", "b", "0", "2", "one lane"} <= set(texts(root))
    (drawn,) = cells(root).values()
    widths = [int(w) for w in re.findall(r"h(\d+)v", drawn)]
    assert widths == [48, 24, 24]
    assert [t.text for t in root.iter(SVG + "title")][1] == "step 1: x"


def test_steps_are_named_below_where_columns_are_wide_enough() -> None:
    history = np.zeros((3, 1, 1), dtype=np.uint64)
    names = ["0: EXPERT knock", "1: HALT", "2: " + "x" * 40]
    root = parse(draw_planes(history, ["a"], 1, names))
    turned = [found for found in root.iter(SVG + "text") if "transform" in found.attrib]
    assert [found.text for found in turned] == [*names[:2], "2: " + "x" * 24 + "…"]
    many = np.zeros((100, 1, 1), dtype=np.uint64)
    root = parse(draw_planes(many, ["a"], 1, [f"step {i}" for i in range(100)]))
    assert not any("transform" in found.attrib for found in root.iter(SVG + "text"))
    assert "step 7: step 7" in [found.text for found in root.iter(SVG + "title")]


def test_every_lane_has_a_strip() -> None:
    planes = pack_bits(np.array([[1], [0], [1]], dtype=bool))
    root = parse(draw_planes(planes[None], ["a"], 3))
    (drawn,) = cells(root).values()
    tops = [int(y) for y in re.findall(r"M\d+ (\d+)", drawn)]
    assert tops[1] - tops[0] == 12
    assert "lanes 0 to 2, a strip each" in texts(root)


def test_many_lanes_are_shaded_by_how_many_are_one() -> None:
    lanes = 64 * 64 - 10  # 64 words, two to a strip, the last strip shorter
    history = np.zeros((1, 1, 64), dtype=np.uint64)
    history[0, 0, 0:2] = ~np.uint64(0)  # strip 0: all
    history[0, 0, 2] = 1  # strip 1: one
    history[0, 0, 4] = ~np.uint64(0)  # strip 2: half
    history[0, 0, 62:64] = ~np.uint64(0)  # the last strip, padding set too
    root = parse(draw_planes(history, ["a"], lanes))
    found = {shade: path.count("M") for shade, path in cells(root).items()}
    assert found == {1: 1, 4: 1, 8: 2}
    assert f"lanes 0 to {lanes - 1}, 128 to a strip" in texts(root)


def test_nothing_to_draw_is_an_empty_picture() -> None:
    assert cells(parse(draw_planes(np.zeros((0, 0, 1), np.uint64), [], 1))) == {}
    assert cells(parse(draw_planes(np.zeros((5, 2, 1), np.uint64), ["a", "b"], 64))) == {}


HISTORY = np.zeros((3, 2, 1), dtype=np.uint64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((HISTORY[0], ["a", "b"], 1), r"expected \(steps, bits, words\) uint64, got uint64"),
        ((HISTORY.astype(int), ["a", "b"], 1), ".* got int64 of shape"),
        ((HISTORY, ["a", "b"], 65), "65 lanes of 1 words; use 1 to 64"),
        ((HISTORY, ["a", "b"], 0), "0 lanes of 1 words"),
    ],
)
def test_histories_that_do_not_fit_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ShapeError, match=f"plane_drawing: {message}"):
        draw_planes(*arguments)


def test_what_nobody_could_see_is_refused() -> None:
    with pytest.raises(DrawingError, match="drawing: 1001 gates; draw at most 1000"):
        draw_circuit(Circuit(1, (Gate(Op.NOT, 0),) * 1001, ()))
    with pytest.raises(DrawingError, match="drawing: 1 names for 2 inputs; name each input"):
        draw_circuit(Circuit(2, (), ()), ["a"])
    with pytest.raises(DrawingError, match="drawing: 0 names for 1 outputs; name each output"):
        draw_circuit(Circuit(2, (), (0,)), None, [])
    nodes = np.array([[i, 0, i + 1 if i else 1] for i in range(1001)], dtype=np.int32)
    long = Robdd(1001, nodes, np.array([1002], dtype=np.int32))
    with pytest.raises(DrawingError, match="drawing: 1001 nodes; draw at most 1000"):
        draw_robdd(long)
    with pytest.raises(DrawingError, match="drawing: 2 names for 1 variables"):
        draw_robdd(diagram_of(arith.parity(1)), ["a", "b"])
    with pytest.raises(DrawingError, match="drawing: 1 names for 2 bits; name each bit"):
        draw_planes(HISTORY, ["a"], 1)
    with pytest.raises(DrawingError, match="drawing: 1 names for 3 steps; name each step"):
        draw_planes(HISTORY, ["a", "b"], 1, ["x"])
    with pytest.raises(DrawingError, match="drawing: 2001 steps; draw at most 2000"):
        draw_planes(np.zeros((2001, 1, 1), np.uint64), ["a"], 1)
    with pytest.raises(DrawingError, match="drawing: 513 bits; draw at most 512"):
        draw_planes(np.zeros((1, 513, 1), np.uint64), [""] * 513, 1)
