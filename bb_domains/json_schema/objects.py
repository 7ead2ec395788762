"""Object clauses to rules: declared members in order, then others by classes of their keys."""

from __future__ import annotations

from bb_domains.json_schema import regex as rx
from bb_domains.json_schema.clauses import ANY, Node, Objects, both
from bb_domains.json_schema.counting import Counting, Member
from bb_domains.json_schema.regex import Language
from bb_domains.json_schema.rules import MOST_BITS, Option, Writer, json_literal


class ObjectWriter:
    """Writes one object clause."""

    def __init__(self, emitter: Writer, objects: Objects) -> None:
        self._emitter, self._objects = emitter, objects
        self._grammar, self._expander = emitter.grammar, emitter.expander
        self._present = dict(objects.present)
        names = [n for keys, _ in objects.every if keys.only is not None for n in keys.only]
        self._names = list(dict.fromkeys([*names, *self._present]))

    def options(self) -> list[Option]:
        """The object as options of its value's rule."""
        declared = self._declared()
        free = self._free()
        objects = self._objects
        if free:
            self._emitter.needs_guard = True
        needed = sum(1 for _, is_needed in declared if is_needed)
        if not objects.some and objects.least <= needed and objects.most is None:
            write = self._any_order if self._is_any_order(declared) else self._plain
            body, refs = write(declared, free)
            return [Option(f'"{{" {body} "}}"', refs)]
        return self._counted(declared, free)

    def _declared(self) -> list[tuple[list[Member], bool]]:
        """Members by declared name, in order, and whether each is required."""
        found = []
        for name in self._names:
            if self._present.get(name) is False:
                continue
            node = self._expander.member_node(self._objects, name)
            if self._expander.is_never(node):
                continue
            somes = tuple(
                (i, both(node, wanted))
                for i, (keys, wanted) in enumerate(self._objects.some)
                if self._expander.is_key(keys, name)
            )
            key = json_literal(name)
            found.append((self._members(key, node, somes), self._present.get(name, False)))
        return found

    def _members(self, key: str, node: Node, somes: tuple[tuple[int, Node], ...]) -> list[Member]:
        """A member as it is, and as each witness that it can be."""
        value = self._emitter.value(node)
        found = [Member(f'{key} ":" {value}', (value,))]
        for i, witness in somes:
            if not self._expander.is_never(witness):
                name = self._emitter.value(witness)
                found.append(Member(f'{key} ":" {name}', (name,), (i + 1,)))
        return found

    def _free(self) -> list[Member]:
        """Members whose names are not declared, by classes of keys."""
        rest = rx.complement(rx.literals(frozenset(self._names)))
        classes: list[tuple[Language, Node]] = [(rest, ANY)]
        for keys, node in self._objects.every:
            if keys.only is None:
                classes = self._split(classes, self._expander.key_language(keys, True), node)
        found = []
        for language, node in classes:
            if self._expander.is_never(node):
                continue
            found += self._members(self._grammar.terminal(language, quoted=True), node, ())
            for i, (keys, wanted) in enumerate(self._objects.some):
                inner = rx.intersection(language, self._expander.key_language(keys))
                met = both(node, wanted)
                if not rx.is_empty(inner) and not self._expander.is_never(met):
                    key = self._grammar.terminal(inner, quoted=True)
                    value = self._emitter.value(met)
                    found.append(Member(f'{key} ":" {value}', (value,), (i + 1,)))
        return found

    def _split(
        self, classes: list[tuple[Language, Node]], language: Language, node: Node
    ) -> list[tuple[Language, Node]]:
        """Each class in two: keys that are in a language, and those that are not."""
        found = []
        for old, wanted in classes:
            for part, met in (
                (rx.intersection(old, language), both(wanted, node)),
                (rx.intersection(old, rx.complement(language)), wanted),
            ):
                if not rx.is_empty(part):
                    found.append((part, met))
        return found

    def _plain(
        self, declared: list[tuple[list[Member], bool]], free: list[Member]
    ) -> tuple[str, tuple[str, ...]]:
        """Declared members in order, then any number of others."""
        grammar = self._grammar
        after = grammar.rule("m", Option('""'))
        others = ""
        if free:
            others = grammar.rule("f", *(Option(m.text, m.refs) for m in free))
            after = grammar.new("m")
            grammar.rules[after] += [Option('""'), Option(f'{after} "," {others}', (after, others))]
        start: list[Option] = [Option('""')]
        if others:
            start.append(Option(f"{others} {after}", (others, after)))
        for members, is_needed in reversed(declared):
            (member,) = members
            first = Option(f"{member.text} {after}", (*member.refs, after))
            start = [first] if is_needed else [first, *start]
            following = Option(f'"," {member.text} {after}', (*member.refs, after))
            skip = [] if is_needed else [Option(after, (after,))]
            after = grammar.rule("m", following, *skip)
        body = grammar.rule("o", *start)
        return body, (body,)

    def _is_any_order(self, declared: list[tuple[list[Member], bool]]) -> bool:
        return self._emitter.order == "any" and 2 <= len(declared) <= MOST_BITS

    def _any_order(
        self, declared: list[tuple[list[Member], bool]], free: list[Member]
    ) -> tuple[str, tuple[str, ...]]:
        """Members in any order: a bit for each declared one, those required in the low bits."""
        grammar = self._grammar
        first, after = (grammar.new("p", has_parameter=True) for _ in range(2))
        ordered = sorted(declared, key=lambda entry: not entry[1])
        needed = sum(is_needed for _, is_needed in declared)
        ends = f"is_ones([0:{needed}])" if needed else ""
        for place, comma in ((first, ""), (after, '"," ')):
            options = [Option('""', condition=ends)]
            for i, ((member,), _) in enumerate(ordered):
                text = f"{comma}{member.text} {after}::set_bit({i})"
                options.append(Option(text, (*member.refs, after), f"bit_clear({i})"))
            for member in free:
                options.append(Option(f"{comma}{member.text} {after}::_", (*member.refs, after)))
            grammar.rules[place] += options
        return f"{first}::0x0", (first,)

    def _counted(
        self, declared: list[tuple[list[Member], bool]], free: list[Member]
    ) -> list[Option]:
        """The same with a count of members and a bit for each witness."""
        grammar, objects = self._grammar, self._objects
        counting = Counting(objects.least, objects.most, [(1, None)] * len(objects.some))
        after = grammar.new("c", has_parameter=True)
        first = grammar.new("c", has_parameter=True)
        ends = counting.ends()
        for name in (after, first):
            grammar.rules[name].append(Option('""', condition=ends))
        for member in free:
            self._count_member(counting, member, (first, after), after)
        for members, is_needed in reversed(declared):
            here = (grammar.new("c", has_parameter=True), grammar.new("c", has_parameter=True))
            for member in members:
                self._count_member(counting, member, here, after)
            if not is_needed:
                grammar.rules[here[0]].append(Option(f"{first}::_", (first,)))
                grammar.rules[here[1]].append(Option(f"{after}::_", (after,)))
            first, after = here
        return [Option(f'"{{" {first}::0x0 "}}"', (first,))]

    def _count_member(
        self, counting: Counting, member: Member, places: tuple[str, str], target: str
    ) -> None:
        for place, comma in zip(places, ("", '"," '), strict=True):
            counting.add(self._grammar, place, member, comma, target)
