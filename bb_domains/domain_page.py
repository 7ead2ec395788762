"""The page of a domain: everything it declares, for readers, in Markdown or as one HTML file.

A page is a list of blocks; both forms are written from it, so that they say the same.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bb_domains.domain import Domain
from bb_domains.graph import domain_graph
from bb_domains.schema import PlanSchema, Probe, Tool, Undo
from bb_domains.svg import svg_text


@dataclass(frozen=True)
class Heading:
    """A heading of a level, 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; cells of columns in `code` are set in a fixed font."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    code: frozenset[int] = frozenset()


Block = Heading | Paragraph | Table


def domain_page(domain: Domain) -> list[Block]:
    """The page of a domain."""
    schema = domain.schema
    rest = (*_rules(schema), *_channels(schema))
    return [*_opening(domain), *_facts(schema), *_tools(domain), *rest]


def tool_page(domain: Domain, name: str) -> list[Block]:
    """The part of the page that is about one tool."""
    return list(_tool(domain, name, domain.schema.tools[name]))


def markdown(blocks: Sequence[Block]) -> str:
    """Blocks as Markdown."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def html_page(domain: Domain) -> str:
    """The page as one HTML file with its picture; it loads nothing from elsewhere."""
    title = html.escape(f"Domain {domain.name}")
    body = "\n".join(map(_html, domain_page(domain)))
    picture = svg_text(domain_graph(domain.machine))
    picture = picture[picture.index("<svg") :]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n"
        f"<h2>Which tool needs and sets what</h2>\n{picture}\n</body></html>\n"
    )


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left;vertical-align:top}"
    "code{font-family:ui-monospace,monospace;font-size:.9em}svg{max-width:100%;height:auto}"
)


def _opening(domain: Domain) -> Iterator[Block]:
    schema, machine = domain.schema, domain.machine
    yield Heading(1, f"Domain {domain.name}")
    shape = f"{len(schema.tools)} tools, at most {schema.limits.max_steps} steps in a plan"
    yield Paragraph(f"Version {schema.version}: {shape}, {len(machine.lanes)} possible calls.")
    if schema.service:
        hosts = ", ".join(schema.service.hosts)
        yield Paragraph(f"Calls go to {schema.service.base_url}; hosts allowed: {hosts}.")
    yield Paragraph(f"Fingerprint {domain.fingerprint}.")


def _facts(schema: PlanSchema) -> Iterator[Block]:
    if schema.objects:
        yield Heading(2, "Objects")
        rows = tuple((name, str(kind.slots)) for name, kind in schema.objects.items())
        yield Table(("object", "at most in a plan"), rows, frozenset({0}))
    if schema.fluents:
        yield Heading(2, "Facts")
        facts = (f"{n}({', '.join(k)})" if k else n for n, k in schema.fluents.items())
        yield Table(("fact",), tuple((fact,) for fact in facts), frozenset({0}))


def _tools(domain: Domain) -> Iterator[Block]:
    yield Heading(2, "Tools")
    for name, tool in domain.schema.tools.items():
        yield from _tool(domain, name, tool)


def _tool(domain: Domain, name: str, tool: Tool) -> Iterator[Block]:
    yield Heading(3, name)
    if tool.description:
        yield Paragraph(tool.description)
    rows = list(_said(tool))
    yield Table(("", ""), tuple(rows), frozenset({1}))
    args = tool.plan_args()
    if args["properties"]:
        needed = set(args["required"])
        listed = tuple(
            (arg, "yes" if arg in needed else "", _kind(tool, arg), _note(schema))
            for arg, schema in args["properties"].items()
        )
        yield Table(("argument", "required", "value", ""), listed, frozenset({0, 2}))
    yield Paragraph(f"A call takes at most {domain.machine.max_bytes(name)} bytes.")


_CHANGES = {"read": "no", "session": "only the session with the service", "write": "yes"}


def _said(tool: Tool) -> Iterator[tuple[str, str]]:
    yield "changes something", _CHANGES[tool.effect]
    if tool.effect == "write":
        yield "may be repeated under one key", "yes" if tool.idempotent else "no"
    again = f", then up to {tool.retries} more tries" if tool.retries else ""
    yield "waits for an answer", f"{tool.timeout_s:g} s{again}"
    if tool.operation:
        yield "operation", f"{tool.operation.method} {tool.operation.path}"
    if tool.binds:
        key = f", told apart by {tool.binds.key}" if tool.binds.key else ""
        yield "finds", tool.binds.object + key
    yield "costs", str(tool.cost)
    yield "only where", tool.pre
    if tool.effects:
        yield "makes true", ", ".join(tool.effects)
    if tool.guards:
        yield "checked just before", ", ".join(tool.guards)
    if tool.probe:
        happened = f"it happened if {tool.probe.happened}"
        yield "asks, if its answer is lost", f"{_aside(tool.probe)}; {happened}"
    if tool.undo:
        yield "is taken back by", _aside(tool.undo)
    if tool.secrets:
        yield "filled in from the environment", ", ".join(tool.secrets.values())
    if tool.private:
        yield "kept as keyed hashes in logs", ", ".join(tool.private)


def _aside(aside: Undo | Probe) -> str:
    return f"{aside.tool}({', '.join(f'{arg}={value}' for arg, value in aside.args.items())})"


def _kind(tool: Tool, arg: str) -> str:
    if arg in tool.handles:
        return f"handle of a {tool.handles[arg].object}"
    schema = tool.properties[arg]
    kept = {k: v for k, v in schema.items() if k not in ("title", "description")}
    return json.dumps(kept, ensure_ascii=False)


def _note(schema: dict[str, object]) -> str:
    return str(schema.get("description", ""))


def _rules(schema: PlanSchema) -> Iterator[Block]:
    if schema.invariants:
        yield Heading(2, "What never holds")
        rows = tuple(
            (i.name, i.never, ", ".join(f"{v}: {k}" for v, k in i.objects.items()))
            for i in schema.invariants
        )
        yield Table(("name", "never", "for any"), rows, frozenset({0, 1, 2}))
    yield Heading(2, "A plan as a whole")
    used = "every handle is used; " if schema.graph.every_handle_used else ""
    limit = schema.limits.max_cost
    cost = "" if limit is None else f"; cost of all steps at most {limit}"
    together = schema.limits.at_once if schema.graph.parallel else 1
    calls = f"; up to {together} calls at a time" if together > 1 else ""
    yield Paragraph(f"{used}at least {schema.graph.min_steps} steps{cost}{calls}.".capitalize())


def _channels(schema: PlanSchema) -> Iterator[Block]:
    if not schema.channels:
        return
    yield Heading(2, "Channels")
    yield Paragraph("Texts that are no plans, and how strictly they keep to a grammar.")
    rows = tuple(
        (
            name,
            channel.mode,
            f"{channel.grammar}: {channel.start}" if channel.mode != "off" else "",
            f"{channel.weight:g} nats" if channel.mode == "soft" else "",
        )
        for name, channel in schema.channels.items()
    )
    yield Table(
        ("channel", "grammar is", "grammar", "a token outside costs"), rows, frozenset({0, 2})
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Table(head, rows, code):
            lines = [_row(head, frozenset()), "|" + "---|" * len(head)]
            return "\n".join([*lines, *(_row(row, code) for row in rows)])


def _row(cells: Sequence[str], code: frozenset[int]) -> str:
    shown = [
        f"`{cell}`" if i in code and cell and "`" not in cell else cell
        for i, cell in enumerate(cells)
    ]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in shown) + " |"


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Table(head, rows, code):
            top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head) if any(head) else ""
            lines = [f"<tr>{top}</tr>"] if top else []
            for row in rows:
                cells = (
                    f"<td><code>{html.escape(c)}</code></td>"
                    if i in code and c
                    else f"<td>{html.escape(c)}</td>"
                    for i, c in enumerate(row)
                )
                lines.append(f"<tr>{''.join(cells)}</tr>")
            return "<table>\n" + "\n".join(lines) + "\n</table>"
