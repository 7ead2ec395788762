"""A circuit as LLVM IR: one loop over vectors of words, straight-line code inside.

The last vector of a plane is loaded and stored under a mask, which costs nothing on processors
that have masks; the others get a second loop over single words. All inputs are loaded at the top
of the loop, where there are few: loading each at its first use took a quarter longer at 32 inputs.

Source: LLVM language reference; BEM core spec 8.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.engines.schedule import Reads, reads_of, spread

SYMBOL = "circuit"
"""Name of the function in the module."""

_MOST_EARLY_INPUTS = 64  # beyond this, inputs loaded early would only be spilled
_WINDOW, _DISTANCE = 64, 16  # measured at 256 gates and 32 inputs: 5% quicker than depth first
_OPCODES = {Op.AND: "and", Op.OR: "or", Op.XOR: "xor"}


@dataclass(frozen=True)
class Shape:
    """The vectors of a loop.

    Attributes:
        words: words per vector.
        masked: whether the last vector is masked; if not, the loop leaves a rest.
    """

    words: int
    masked: bool

    @property
    def type(self) -> str:
        """The vector's type in IR."""
        return f"<{self.words} x i64>"

    @property
    def mask_type(self) -> str:
        """The mask's type in IR."""
        return f"<{self.words} x i1>"

    def constant(self, values: list[int]) -> str:
        """A vector of these integers, without its type."""
        return f"<{', '.join(f'i64 {value}' for value in values)}>"

    @property
    def ones(self) -> str:
        """The vector of all ones."""
        return self.constant([-1] * self.words)


def order_of(circuit: Circuit) -> list[int]:
    """The order of the gates in the code."""
    return spread(circuit, reads_of(circuit), _WINDOW, _DISTANCE)


def llvm_source(circuit: Circuit, shapes: tuple[Shape, ...]) -> str:
    """The circuit as a module with one function, in textual IR.

    The function is `void circuit(const uint64_t *in, uint64_t *out, int64_t in_pitch,
    int64_t out_pitch, int64_t words)`: input i of word w is at in[i * in_pitch + w], and so on;
    pitches are in words; `in` and `out` do not overlap.

    Args:
        circuit: the gates.
        shapes: one loop each, over what the loops before have left. The last has one word, or is
            masked.
    """
    # Vectors that do not fit the registers go to the stack; across cache lines that costs double.
    aligned = f'alignstack({8 * shapes[0].words}) "stackrealign" ' if shapes[0].masked else ""
    lines = [
        f"define void @{SYMBOL}(ptr noalias readonly %in, ptr noalias %out, "
        f"i64 %in_pitch, i64 %out_pitch, i64 %words) nounwind {aligned}{{"
    ]
    start, label = "0", "entry"
    lines.append(f"{label}:")
    order = order_of(circuit)
    for i, shape in enumerate(shapes):
        lines.extend(_loop(circuit, order, shape, f"l{i}_", (start, label)))
        start, label = f"%l{i}_end", f"l{i}_done"
    lines += ["  ret void", "}"]
    for shape in shapes:
        if shape.masked:
            lines += _declarations(shape)
    return "\n".join(lines) + "\n"


def _declarations(shape: Shape) -> list[str]:
    name = f"v{shape.words}i64.p0"
    return [
        f"declare {shape.type} @llvm.masked.load.{name}(ptr, i32, {shape.mask_type}, {shape.type})",
        f"declare void @llvm.masked.store.{name}({shape.type}, ptr, i32, {shape.mask_type})",
    ]


def _loop(
    circuit: Circuit, order: list[int], shape: Shape, p: str, entry: tuple[str, str]
) -> Iterator[str]:
    """One loop; `p` is the prefix of its names, `entry` the first word and the block before."""
    start, before = entry
    step = shape.words
    # A masked loop begins a vector while one word is left, the other while a whole vector is.
    last = "%words" if shape.masked else f"%{p}last"
    if not shape.masked:
        yield f"  {last} = sub i64 %words, {step - 1}"
    yield f"  %{p}any = icmp slt i64 {start}, {last}"
    yield f"  br i1 %{p}any, label %{p}body, label %{p}done"
    yield f"{p}body:"
    yield f"  %{p}w = phi i64 [ {start}, %{before} ], [ %{p}next, %{p}body ]"
    yield f"  %{p}next = add i64 %{p}w, {step}"
    if shape.masked:
        yield f"  %{p}left = sub i64 %words, %{p}w"
        yield f"  %{p}low = insertelement {shape.type} poison, i64 %{p}left, i32 0"
        yield (
            f"  %{p}all = shufflevector {shape.type} %{p}low, {shape.type} poison, "
            f"<{step} x i32> zeroinitializer"
        )
        numbers = shape.constant(list(range(step)))
        yield f"  %{p}mask = icmp ugt {shape.type} %{p}all, {numbers}"
    yield f"  %{p}in = getelementptr i64, ptr %in, i64 %{p}w"
    yield f"  %{p}out = getelementptr i64, ptr %out, i64 %{p}w"
    yield from _Body(circuit, shape, p).lines(order)
    yield f"  %{p}more = icmp slt i64 %{p}next, {last}"
    yield f"  br i1 %{p}more, label %{p}body, label %{p}done"
    yield f"{p}done:"
    yield f"  %{p}end = phi i64 [ {start}, %{before} ], [ %{p}next, %{p}body ]"


class _Body:
    """The straight-line code of one loop."""

    def __init__(self, circuit: Circuit, shape: Shape, prefix: str) -> None:
        self.circuit = circuit
        self.shape = shape
        self.prefix = prefix
        self.reads: Reads = reads_of(circuit)
        self.outputs_of: dict[int, list[int]] = {}
        for output, slot in enumerate(circuit.outputs):
            self.outputs_of.setdefault(slot, []).append(output)
        self.loaded: set[int] = set()

    def lines(self, order: list[int]) -> Iterator[str]:
        """Loads, gates in order, and each output's store where its slot is computed."""
        used = {s for slot in order for s in self.reads[slot]}
        used.update(self.outputs_of)
        inputs = sorted(slot for slot in used if slot < self.circuit.n_inputs)
        if len(inputs) <= _MOST_EARLY_INPUTS:
            for slot in inputs:
                yield from self.load(slot)
        for slot in inputs:
            if slot in self.outputs_of:
                yield from self.load(slot)
                yield from self.store(slot)
        for slot in order:
            for operand in self.reads[slot]:
                yield from self.load(operand)
            yield from self.gate(slot)
            yield from self.store(slot)

    def load(self, slot: int) -> Iterator[str]:
        """Load an input unless it is loaded; nothing for a gate's slot."""
        if slot >= self.circuit.n_inputs or slot in self.loaded:
            return
        self.loaded.add(slot)
        p, shape = self.prefix, self.shape
        yield f"  %{p}i{slot} = mul i64 %in_pitch, {slot}"
        yield f"  %{p}p{slot} = getelementptr i64, ptr %{p}in, i64 %{p}i{slot}"
        if shape.masked:
            yield (
                f"  %{p}s{slot} = call {shape.type} @llvm.masked.load.v{shape.words}i64.p0("
                f"ptr %{p}p{slot}, i32 8, {shape.mask_type} %{p}mask, {shape.type} zeroinitializer)"
            )
        else:
            yield f"  %{p}s{slot} = load {shape.type}, ptr %{p}p{slot}, align 8"

    def gate(self, slot: int) -> Iterator[str]:
        """The instructions of one gate."""
        gate: Gate = self.circuit.gates[slot - self.circuit.n_inputs]
        p, kind, ones = self.prefix, self.shape.type, self.shape.ones
        target, a, b = f"%{p}s{slot}", f"%{p}s{gate.a}", f"%{p}s{gate.b}"
        match gate.op:
            case Op.NOT:
                yield f"  {target} = xor {kind} {a}, {ones}"
            case Op.ANDN:
                yield f"  {target}n = xor {kind} {b}, {ones}"
                yield f"  {target} = and {kind} {a}, {target}n"
            case Op.CONST0 | Op.CONST1:
                value = ones if gate.op is Op.CONST1 else "zeroinitializer"
                yield f"  {target} = or {kind} {value}, zeroinitializer"
            case _:
                yield f"  {target} = {_OPCODES[gate.op]} {kind} {a}, {b}"

    def store(self, slot: int) -> Iterator[str]:
        """Store a slot as each output that it is."""
        p, shape = self.prefix, self.shape
        for output in self.outputs_of.get(slot, ()):
            yield f"  %{p}o{output} = mul i64 %out_pitch, {output}"
            yield f"  %{p}q{output} = getelementptr i64, ptr %{p}out, i64 %{p}o{output}"
            if shape.masked:
                yield (
                    f"  call void @llvm.masked.store.v{shape.words}i64.p0({shape.type} "
                    f"%{p}s{slot}, ptr %{p}q{output}, i32 8, {shape.mask_type} %{p}mask)"
                )
            else:
                yield f"  store {shape.type} %{p}s{slot}, ptr %{p}q{output}, align 8"
