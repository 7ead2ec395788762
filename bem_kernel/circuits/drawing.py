"""Circuits as pictures: inputs on the left, outputs on the right, a shape for each operation.

The shapes are those of IEEE Std 91; the second operand of an ANDN has the bubble. A result that is
read in several places is one wire that branches. Resting the pointer on a gate names its slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bem_kernel.circuits.circuit import ARITY, Circuit, Op
from bem_kernel.circuits.layered import Layout, Link, place
from bem_kernel.circuits.svg import check_size, document, element, group, labels, text, text_width

MAX_GATES = 1000

_STYLE = (
    ".wire{fill:none;stroke:#64748b;stroke-width:1.4}.dot{fill:#64748b}"
    ".gate path,.gate circle{fill:#f8fafc;stroke:#0f172a;stroke-width:1.5;stroke-linejoin:round}"
    ".gate .back{fill:none}.gate:hover path{fill:#fde68a}"
    ".input rect{fill:#dbeafe;stroke:#1d4ed8}.output rect{fill:#dcfce7;stroke:#15803d}"
    "text{fill:#0f172a}"
)
_MARGIN, _GAP, _CHANNEL = 16, 16, 44
_GATE_WIDTH, _GATE_HEIGHT, _PORT = 36, 30, 7
_LABEL_HEIGHT, _LABEL_PAD = 22, 9
_BUBBLE = 4
_INSIDE = 9  # how far wires go under a gate, whose left edge may be hollow


@dataclass(frozen=True)
class _Sheet:
    """A laid-out circuit: node s is slot s, then come the outputs, then the bends.

    Attributes:
        left: left edge of each layer's column, in px.
        right: right edge of each layer's column.
        entering: for a source and a target, what the wire between them passes last.
    """

    circuit: Circuit
    layout: Layout
    labels: tuple[str, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    entering: dict[tuple[int, int], int]

    def y(self, node: int) -> int:
        """Height of a node's centre."""
        return _MARGIN + self.layout.across[node]


def draw_circuit(
    circuit: Circuit,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> str:
    """Draw a circuit as a graph.

    Args:
        circuit: at most 1000 gates; dead gates are drawn too.
        input_names: one label per input; None: x0, x1, ….
        output_names: one label per output; None: y0, y1, ….

    Returns:
        An SVG document.

    Raises:
        DrawingError: too many gates to be seen, or another number of names.
    """
    check_size("gate", len(circuit.gates), MAX_GATES)
    inputs = labels("input", "x", input_names, circuit.n_inputs)
    outputs = labels("output", "y", output_names, circuit.n_outputs)
    sheet = _laid_out(circuit, inputs, outputs)
    height = 2 * _MARGIN + max(sheet.layout.width, _LABEL_HEIGHT)
    elements = [*_wires(sheet), *_gates(sheet), *_labels(sheet)]
    return document(max(sheet.right, default=0) + _MARGIN, height, _STYLE, elements)


def _laid_out(circuit: Circuit, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> _Sheet:
    layers = _layers(circuit)
    last = max(layers, default=0) + 1
    links = [
        Link(source, circuit.n_inputs + i, source)
        for i, gate in enumerate(circuit.gates)
        for source in dict.fromkeys((gate.a, gate.b)[: ARITY[gate.op]])
    ]
    links += [Link(s, circuit.n_slots + j, s) for j, s in enumerate(circuit.outputs)]
    extents = [_LABEL_HEIGHT] * circuit.n_inputs + [_GATE_HEIGHT] * len(circuit.gates)
    extents += [_LABEL_HEIGHT] * len(outputs)
    layout = place([*layers, *[last] * len(outputs)], extents, links, _GAP)
    widths = [_GATE_WIDTH] * (last + 1)
    widths[0] = max([_GATE_WIDTH, *map(_label_width, inputs)])
    widths[last] = max([_GATE_WIDTH, *map(_label_width, outputs)])
    left, right = [_MARGIN], [_MARGIN + widths[0]]
    for width, channel in zip(widths[1:], _channels(layout, last), strict=True):
        left.append(right[-1] + channel)
        right.append(left[-1] + width)
    entering = {(path[0], path[-1]): path[-2] for path in layout.paths}
    return _Sheet(circuit, layout, inputs + outputs, tuple(left), tuple(right), entering)


def _layers(circuit: Circuit) -> list[int]:
    """Layer 0 for inputs, 1 after its last operand for a gate; a constant is by its reader."""
    layers = [0] * circuit.n_slots
    for i, gate in enumerate(circuit.gates):
        operands = (gate.a, gate.b)[: ARITY[gate.op]]
        layers[circuit.n_inputs + i] = 1 + max((layers[s] for s in operands), default=0)
    for i in reversed(range(len(circuit.gates))):
        if ARITY[circuit.gates[i].op] == 0:
            slot = circuit.n_inputs + i
            readers = [
                layers[circuit.n_inputs + j]
                for j, gate in enumerate(circuit.gates)
                if slot in (gate.a, gate.b)[: ARITY[gate.op]]
            ]
            layers[slot] = max(1, min(readers, default=1 + max(layers)) - 1)
    return layers


def _channels(layout: Layout, last: int) -> list[int]:
    """The space between columns: more where wires climb far, so that they stay flat."""
    climbs = [0] * last
    for path in layout.paths:
        for one, other in pairwise(path):
            climb = abs(layout.across[one] - layout.across[other])
            climbs[layout.layer[one]] = max(climbs[layout.layer[one]], climb)
    return [_CHANNEL + min(climb // 5, 3 * _CHANNEL) for climb in climbs]


def _label_width(label: str) -> int:
    return text_width(label) + 2 * _LABEL_PAD


def _ports(sheet: _Sheet, slot: int) -> list[tuple[int, bool, int]]:
    """Where the operands of a gate enter: (source, whether it is inverted, height).

    The upper of two sources takes the upper port, so that they do not cross before the gate.
    """
    gate = sheet.circuit.gates[slot - sheet.circuit.n_inputs]
    centre = sheet.y(slot)
    if ARITY[gate.op] < 2:
        return [(gate.a, False, centre)] if ARITY[gate.op] else []
    upper, lower = (gate.a, False), (gate.b, gate.op is Op.ANDN)
    if sheet.y(sheet.entering[gate.a, slot]) > sheet.y(sheet.entering[gate.b, slot]):
        upper, lower = lower, upper
    return [(*upper, centre - _PORT), (*lower, centre + _PORT)]


def _wires(sheet: _Sheet) -> list[str]:
    """A path for each slot that is read, and a dot where it branches."""
    circuit, layout = sheet.circuit, sheet.layout
    ports: dict[int, list[tuple[int, bool, int]]] = {}
    drawn: dict[int, dict[tuple[int, int], str]] = {}
    for path in layout.paths:
        target = path[-1]
        if target < circuit.n_slots and target not in ports:
            ports[target] = _ports(sheet, target)
        pieces = drawn.setdefault(path[0], {})
        for one, other in pairwise(path):
            if other == target and target in ports:
                ends = [y for source, _, y in ports[target] if source == path[0]]
            else:
                ends = [sheet.y(other)]
            pieces[one, other] = "".join(_piece(sheet, one, other, y) for y in ends)
    elements = []
    for pieces in drawn.values():
        elements.append(element("path", d="".join(pieces.values()), class_="wire"))
        starts = Counter(one for one, _ in pieces)
        for node, count in starts.items():
            if count > 1 and node >= circuit.n_slots:
                x = sheet.right[layout.layer[node]]
                elements.append(element("circle", cx=x, cy=sheet.y(node), r=3, class_="dot"))
    return elements


def _piece(sheet: _Sheet, one: int, other: int, end_y: int) -> str:
    """The wire from the right of one column to the next node, through it if it is a bend."""
    at = sheet.layout.layer[other]
    start_x, end_x = sheet.right[sheet.layout.layer[one]], sheet.left[at]
    start_y, middle = sheet.y(one), (start_x + end_x) // 2
    curve = f"M{start_x} {start_y}C{middle} {start_y} {middle} {end_y} {end_x} {end_y}"
    if other >= len(sheet.circuit.outputs) + sheet.circuit.n_slots:
        return f"{curve}H{sheet.right[at]}"
    return f"{curve}h{_INSIDE}" if other < sheet.circuit.n_slots else curve


def _gates(sheet: _Sheet) -> list[str]:
    n = sheet.circuit.n_inputs
    elements = []
    for i, gate in enumerate(sheet.circuit.gates):
        slot = n + i
        x, y = sheet.left[sheet.layout.layer[slot]], sheet.y(slot)
        shapes = _shape(gate.op, x, y)
        shapes += [
            element("circle", cx=x - _BUBBLE, cy=height, r=_BUBBLE)
            for _, inverted, height in _ports(sheet, slot)
            if inverted
        ]
        read = ", ".join(f"slot {s}" for s in (gate.a, gate.b)[: ARITY[gate.op]])
        title = f"slot {slot}: {gate.op.name}{' of ' if read else ''}{read}"
        elements.append(group(shapes, title, class_="gate"))
    return elements


def _shape(op: Op, x: int, y: int) -> list[str]:
    """The outline of a gate whose left edge is x and whose middle is y."""
    top = y - _GATE_HEIGHT // 2
    or_ = element("path", d=f"M{x} {top}h6c14 0 24 6 30 15c-6 9 -16 15 -30 15h-6q10 -15 0 -30z")
    match op:
        case Op.AND | Op.ANDN:
            return [element("path", d=f"M{x} {top}h21a15 15 0 0 1 0 30h-21z")]
        case Op.OR:
            return [or_]
        case Op.XOR:
            return [or_, element("path", d=f"M{x - 5} {top}q10 15 0 30", class_="back")]
        case Op.NOT:
            triangle = element("path", d=f"M{x} {y - 12}l28 12l-28 12z")
            return [triangle, element("circle", cx=x + 28 + _BUBBLE, cy=y, r=_BUBBLE)]
        case _:
            centre = x + _GATE_WIDTH - 12
            digit = text(centre, y, "1" if op is Op.CONST1 else "0", text_anchor="middle")
            return [element("circle", cx=centre, cy=y, r=12), digit]


def _labels(sheet: _Sheet) -> list[str]:
    circuit = sheet.circuit
    nodes = [*range(circuit.n_inputs), *range(circuit.n_slots, circuit.n_slots + circuit.n_outputs)]
    elements = []
    for node, label in zip(nodes, sheet.labels, strict=True):
        is_input = node < circuit.n_inputs
        at, width, y = sheet.layout.layer[node], _label_width(label), sheet.y(node)
        x = sheet.right[at] - width if is_input else sheet.left[at]
        pill = element(
            "rect", x=x, y=y - _LABEL_HEIGHT // 2, width=width, height=_LABEL_HEIGHT, rx=11
        )
        name = text(x + width // 2, y, label, text_anchor="middle")
        elements.append(element("g", pill + name, class_="input" if is_input else "output"))
    return elements
