"""What must be proved of an annotated program: one implication for each way between two nodes.

From an annotated node, every path is followed to the next annotated node, the end of the program,
or a trap. Each gives an obligation: P_u and the path's guards imply P_v in the state at its end,
which is P_u => WP(path)(P_v). A path that comes round without meeting an annotation is a loop
without an invariant, and is refused. Nodes inside calls are told apart by the calls, so a RET goes
on exactly where it will.

Source: BEM core spec 9.2; Hoare 1969, Floyd 1967.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from bem_kernel.errors import HoareError
from bem_kernel.hoare.annotations import ENTRY, EXIT, Annotations
from bem_kernel.hoare.effects import effect
from bem_kernel.hoare.formula import Formula, conjunction, predicate
from bem_kernel.hoare.moment import Branch, Choice, Effect, Moment, Predicate
from bem_kernel.hoare.state import (
    State,
    first_state,
    layout_of,
    mutable_places,
    unknown_state,
)
from bem_kernel.hoare.words import WordBuilder
from bem_kernel.isa.control_flow import basic_blocks
from bem_kernel.isa.core import Stop
from bem_kernel.isa.program import Program

MAX_PATHS = 4096
"""Most paths from one node."""

MAX_NODES = 4096
"""Most annotated nodes, those in different calls counted apart."""


@dataclass(frozen=True)
class NodeAt:
    """An annotated node.

    Attributes:
        name: as annotated.
        pc: its first instruction; len(code) for `exit`.
        calls: return addresses, the innermost last; () for `exit`.
    """

    name: str
    pc: int
    calls: tuple[int, ...] = ()


@dataclass(frozen=True)
class Obligation:
    """Something that must hold on a path.

    Attributes:
        path: the instructions executed, in order.
        choices: answers from outside, by index in the path.
        end: the next instruction; the one that traps if `stop` is given.
        condition: the slot that says when the path is taken.
        goal: the slot that must then be 1.
        claim: what the goal says; None for a trap.
        target: the node that the path ends in; None if it ends in the middle.
        stop: the trap that must not be.
    """

    path: tuple[int, ...]
    choices: dict[int, Choice]
    end: int
    condition: int
    goal: int
    claim: Predicate | None
    target: NodeAt | None = None
    stop: Stop | None = None


@dataclass
class Node:
    """All that must hold from one annotated node on.

    Attributes:
        at: which node.
        builder: makes the gates.
        state: when control is there.
        assumed: the slot of its annotation.
        obligations: of all its paths.
    """

    at: NodeAt
    builder: WordBuilder
    state: State
    assumed: int
    obligations: list[Obligation] = field(default_factory=list)


@dataclass
class _Walk:
    """A path that is being followed.

    Attributes:
        pc: the next instruction.
        calls: return addresses, the innermost last.
        state: now.
        condition: the slot that says when the path is taken.
        path: the instructions so far.
        choices: answers from outside, by index in the path.
        seen: blocks that it has been in.
        kept: the slot of `always` that was assumed or asked for last, -1 for none.
    """

    pc: int
    calls: tuple[int, ...]
    state: State
    condition: int
    path: tuple[int, ...] = ()
    choices: dict[int, Choice] = field(default_factory=dict)
    seen: frozenset[tuple[int, tuple[int, ...]]] = frozenset()
    kept: int = -1


class Annotated:
    """A program with its annotations made into conditions.

    Attributes:
        layout: of the program.
        annotations: what is claimed.
        names: of the annotated nodes, by first instruction.

    Raises:
        HoareError: an annotation names no node, or does not parse.
    """

    def __init__(self, program: Program, annotations: Annotations) -> None:
        self.layout = layout_of(program)
        self.annotations = annotations
        starts = {block.name: block.start for block in basic_blocks(program)}
        for name in {ENTRY, EXIT} & set(starts):
            raise HoareError(f"a node is called {name!r}", where="hoare", fix="rename the .cfg")
        for name in set(annotations.at) - {ENTRY, EXIT} - set(starts):
            known = ", ".join(list(starts)[:12])
            raise HoareError(f"no node {name!r}", where="hoare", fix=f"there are {known}")
        self.starts = frozenset(starts.values())
        self.names = {starts[n]: n for n in annotations.at if n not in (ENTRY, EXIT)}
        self._mutable = mutable_places(self.layout)
        self._words = {
            place: width for name, width in annotations.words.items() for place in self._data(name)
        }
        self.always = self._all(annotations.always, "always")
        self._claims = {n: self._all(fs, f"at {n}") for n, fs in annotations.at.items()}

    def _data(self, name: str) -> range:
        try:
            return self.layout.data(name)
        except KeyError:
            raise HoareError(f"no data {name!r}", where="width", fix="name a .data") from None

    def _all(self, formulas: Iterable[Formula], where: str) -> Predicate:
        return conjunction(tuple(predicate(f, self.layout, where) for f in formulas))

    def claim(self, name: str) -> Predicate:
        """All that is claimed at a node: its annotation, `always`, and the widths."""
        own = self._claims.get(name, conjunction(()))
        if name == ENTRY:
            return own
        if name == EXIT:
            return conjunction((own, self.always))

        def widths(builder: WordBuilder, state: State) -> int:
            registers = self.annotations.registers.items()
            found = [width.holds(builder, state.registers[i]) for i, width in registers]
            words = self._words.items()
            found += [width.holds(builder, state.words[place]) for place, width in words]
            return builder.all(found)

        return conjunction((own, self.always, widths))

    def target(self, pc: int, calls: tuple[int, ...]) -> NodeAt | None:
        """The annotated node at an instruction, if there is one; the end counts as one."""
        if pc >= len(self.layout.program.code):
            return NodeAt(EXIT, len(self.layout.program.code))
        name = self.names.get(pc)
        return None if name is None else NodeAt(name, pc, calls)

    def nodes(self) -> Iterator[Node]:
        """The nodes that paths come to, from `entry` on; those in different calls are told apart.

        Raises:
            HoareError: as `node`, or there are too many.
        """
        todo, met = [NodeAt(ENTRY, 0)], {NodeAt(ENTRY, 0)}
        while todo:
            node = self.node(todo.pop(0))
            yield node
            for obligation in node.obligations:
                target = obligation.target
                if target is None or target in met or target.pc == len(self.layout.program.code):
                    continue
                met.add(target)
                todo.append(target)
            if len(met) > MAX_NODES:
                raise HoareError(
                    f"over {MAX_NODES} annotated nodes in different calls",
                    where="hoare",
                    fix="annotate fewer nodes inside calls",
                )

    def node(self, at: NodeAt) -> Node:
        """A node with its obligations.

        Raises:
            HoareError: a loop has no invariant, or there are too many paths.
        """
        builder = WordBuilder()
        registers = self.annotations.registers
        if at.name == ENTRY:
            state = first_state(builder, self.layout, registers)
        else:
            words = self._words
            state = unknown_state(builder, self.layout, self._mutable, registers, words)
        node = Node(at, builder, state, self.claim(at.name)(builder, state))
        walk = _Walk(at.pc, at.calls, state, builder.one)
        walks = [walk]
        if at.name != ENTRY:
            walk.kept = self.always(builder, state)
        else:
            self._require_always(node, walk)
            walks = [] if self._arrives(node, walk) else [walk]
        done = 0
        while walks:
            done += 1
            if done > MAX_PATHS:
                fix = "annotate more nodes"
                raise HoareError(f"over {MAX_PATHS} paths from {at.name}", where="hoare", fix=fix)
            walks += self._follow(node, walks.pop())
        return node

    def _follow(self, node: Node, walk: _Walk) -> list[_Walk]:
        """Execute up to the next branching; the walks that go on from there."""
        while True:
            self._refuse_loops(node, walk)
            moment = Moment(node.builder, self.layout, walk.pc, walk.calls, walk.state)
            after = effect(moment)
            self._require_no_traps(node, walk, after)
            walks = [
                following
                for following in (_after(node, walk, branch) for branch in after.branches)
                if following.condition != node.builder.zero and self._goes_on(node, walk, following)
            ]
            if len(walks) != 1:
                return walks
            (walk,) = walks

    def _goes_on(self, node: Node, walk: _Walk, following: _Walk) -> bool:
        """Enter what must hold after an instruction; whether the path is not at its end."""
        if following.state is not walk.state:
            self._require_always(node, following)
        return not self._arrives(node, following)

    def _require_no_traps(self, node: Node, walk: _Walk, after: Effect) -> None:
        path, choices = (*walk.path, walk.pc), walk.choices
        for stop, guard in after.traps.items():
            if stop not in self.annotations.allowed:
                goal = node.builder.not_(guard)
                node.obligations.append(
                    Obligation(path, choices, walk.pc, walk.condition, goal, None, None, stop)
                )

    def _refuse_loops(self, node: Node, walk: _Walk) -> None:
        if walk.pc not in self.starts:
            return
        here = (walk.pc, walk.calls)
        if here in walk.seen:
            block = next(b for b in basic_blocks(self.layout.program) if b.start == walk.pc)
            line = self.layout.program.code[walk.pc].line
            raise HoareError(
                f"a loop from {node.at.name} comes back to {block.name} (line {line}) and meets "
                "no annotation",
                where="hoare",
                fix=f"give an invariant, at {block.name}: condition",
            )
        walk.seen = walk.seen | {here}

    def _require_always(self, node: Node, walk: _Walk) -> None:
        if not self.annotations.always:
            return
        goal = self.always(node.builder, walk.state)
        if goal == walk.kept:  # nothing that it depends on has changed
            return
        walk.kept = goal
        node.obligations.append(
            Obligation(walk.path, walk.choices, walk.pc, walk.condition, goal, self.always)
        )

    def _arrives(self, node: Node, walk: _Walk) -> bool:
        """Whether the walk is at an annotated node; if so, that is an obligation."""
        target = self.target(walk.pc, walk.calls)
        if target is None:
            return False
        claim = self.claim(target.name)
        goal = claim(node.builder, walk.state)
        end = min(walk.pc, len(self.layout.program.code))
        node.obligations.append(
            Obligation(walk.path, walk.choices, end, walk.condition, goal, claim, target)
        )
        return True


def _after(node: Node, walk: _Walk, branch: Branch) -> _Walk:
    """The walk, one instruction further."""
    choices = walk.choices
    if branch.choice is not None:
        choices = {**choices, len(walk.path): branch.choice}
    return replace(
        walk,
        pc=branch.pc,
        calls=branch.calls,
        state=branch.state,
        condition=node.builder.and_(walk.condition, branch.guard),
        path=(*walk.path, walk.pc),
        choices=choices,
    )
