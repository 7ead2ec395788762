"""Array clauses to rules: prefixes, repetition, counts, and few distinct items."""

from __future__ import annotations

from itertools import product

from bb_domains.errors import LowerError
from bb_domains.json_schema.clauses import ANY, KINDS, NEVER, Arrays, Count, Node, both
from bb_domains.json_schema.counting import Counting, Member, conjunction
from bb_domains.json_schema.rules import MOST_BITS, Option, Writer, lark_literal
from bb_domains.json_schema.scalars import finite_texts


class ArrayWriter:
    """Writes one array clause."""

    def __init__(self, emitter: Writer, array: Arrays) -> None:
        self._emitter, self._array = emitter, array
        self._grammar, self._expander = emitter.grammar, emitter.expander
        stops = [s.stop if s.stop is not None else s.start for s in array.spans]
        self._prefix = max([*stops, *(c.start for c in array.counts)], default=0)
        self._most = array.most
        for i in range(self._prefix + 1):
            if self._expander.is_never(self._expander.item_node(array, i)):
                self._most = i if self._most is None else min(i, self._most)
                break
        if self._most is not None:
            self._prefix = min(self._prefix, self._most)

    def options(self) -> list[Option]:
        """The array as options of its value's rule."""
        array = self._array
        if self._most is not None and self._most < array.least:
            return []
        if array.unique and (self._most is None or self._most > 1):
            texts = self._finite_items()
            if texts is not None:
                return self._chosen(texts)
            self._emitter.needs_guard = True
        counts = tuple(c for c in array.counts if c.most is not None or c.least)
        if counts:
            return self._counted(counts)
        return self._plain()

    def _node(self, index: int) -> Node:
        return self._expander.item_node(self._array, index)

    def _plain(self) -> list[Option]:
        """Prefix items one by one, the others repeated."""
        grammar, least = self._grammar, self._array.least
        after = self._repeated()
        for i in range(self._prefix - 1, -1, -1):
            value = self._emitter.value(self._node(i))
            comma = '"," ' if i else ""
            option = Option(f"{comma}{value} {after}", (value, after))
            skip = [Option('""')] if i >= least else []
            after = grammar.rule("a", option, *skip)
        if self._prefix:
            return [Option(f'"[" {after} "]"', (after,))]
        options = [Option('"[" "]"')] if least == 0 else []
        if self._most != 0:
            value = self._emitter.value(self._node(0))
            options.append(Option(f'"[" {value} {after} "]"', (value, after)))
        return options

    def _repeated(self) -> str:
        """What follows the prefix, or the first item where there is none."""
        grammar, given = self._grammar, max(self._prefix, 1)
        if self._most is not None and self._most <= given:
            return grammar.rule("r", Option('""'))
        value = self._emitter.value(self._node(given))
        item = grammar.rule("i", Option(f'"," {value}', (value,)))
        low = max(0, self._array.least - given)
        most = "" if self._most is None else str(self._most - given)
        options = [Option(f"{item}{{{max(low, 1)},{most}}}", (item,))]
        if low == 0:
            options.append(Option('""'))
        return grammar.rule("r", *options)

    def _counted(self, counts: tuple[Count, ...]) -> list[Option]:
        """Items with a count for each `contains`."""
        if len(counts) > 3:
            raise LowerError("has more than three 'contains' at once", where="/", fix="split it")
        grammar = self._grammar
        bounds = [(c.least, c.most) for c in counts]
        counting = Counting(self._array.least, self._most, bounds)
        loop = grammar.new("n", has_parameter=True)
        ends = counting.ends()
        grammar.rules[loop].append(Option('""', condition=ends))
        self._count_items(counting, counts, max(self._prefix, 1), loop, loop)
        target = loop
        for i in range(max(self._prefix, 1) - 1, -1, -1):
            here = grammar.new("n", has_parameter=True)
            grammar.rules[here].append(Option('""', condition=ends))
            self._count_items(counting, counts, i, here, target)
            target = here
        return [Option(f'"[" {target}::0x0 "]"', (target,))]

    def _count_items(
        self, counting: Counting, counts: tuple[Count, ...], index: int, here: str, target: str
    ) -> None:
        """The items that may stand at an index, by which counts they belong to."""
        comma = '"," ' if index else ""
        choices = [(False, True) if index >= c.start else (False,) for c in counts]
        for chosen in product(*choices):
            node = self._node(index)
            for count, is_in in zip(counts, chosen, strict=True):
                if is_in:
                    node = both(node, count.node)
                elif index >= count.start and count.most is not None:
                    node = both(node, self._negated(count.node))
            if self._expander.is_never(node):
                continue
            value = self._emitter.value(node)
            shown = tuple(i + 1 for i, is_in in enumerate(chosen) if is_in)
            counting.add(self._grammar, here, Member(value, (value,), shown), comma, target)

    def _negated(self, node: Node) -> Node:
        """The node of the values that fail the one schema of a `contains`."""
        if node == ANY:
            return NEVER
        ((number, sign),) = node
        return ((number, not sign),)

    def _finite_items(self) -> list[str] | None:
        """The JSON texts of all items, if they are few and the same at every index."""
        if self._prefix or self._array.counts:
            return None
        texts: list[str] = []
        for kind in KINDS:
            for clause in self._expander.clauses(self._node(0), kind):
                found = finite_texts(clause)
                if found is None:
                    return None
                texts += found
        texts = list(dict.fromkeys(texts))
        return texts if len(texts) <= MOST_BITS else None

    def _chosen(self, texts: list[str]) -> list[Option]:
        """Each of a few texts at most once: a bit for each."""
        grammar, array = self._grammar, self._array
        most = len(texts) if self._most is None else min(self._most, len(texts))
        if most < array.least:
            return []
        span = f"[0:{len(texts)}]"
        ends = f"bit_count_ge({span},{array.least})" if array.least else ""
        names = [grammar.new("u", has_parameter=True) for _ in range(2)]
        for name, comma in zip(names, ("", '"," '), strict=True):
            grammar.rules[name].append(Option('""', condition=ends))
            for i, text in enumerate(texts):
                free = [f"bit_clear({i})"]
                if most < len(texts):
                    free.append(f"bit_count_lt({span},{most})")
                grammar.rules[name].append(
                    Option(
                        f"{comma}{lark_literal(text)} {names[1]}::set_bit({i})",
                        (names[1],),
                        conjunction(free),
                    )
                )
        return [Option(f'"[" {names[0]}::0x0 "]"', (names[0],))]
