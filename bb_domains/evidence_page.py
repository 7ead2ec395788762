"""The evidence for a drafted plan schema, as a page to be read before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from bb_domains.derive import FEW, Draft, ToolEvidence
from bb_domains.domain_page import Block, Heading, Paragraph, Table
from bb_domains.drafted_tools import Condition, Form, Support

_WHY = {
    Support.NEEDED: "a failure has no other explanation",
    Support.LIKELY: "among the fewest that explain the failures",
    Support.CAREFUL: "held in every success; no failure speaks of it",
}
_WHERE = {Form.PRE: "pre", Form.GUARD: "guard", Form.UNSAID: "a plan schema cannot say it"}


def evidence_page(draft: Draft) -> list[Block]:
    """The page."""
    return list(_blocks(draft))


def open_questions(draft: Draft) -> list[str]:
    """What the traces leave open, most urgent first."""
    found = []
    for each in draft.evidence:
        if each.unexplained:
            found.append(f"{each.tool}: the draft never calls it: {each.unexplained}")
    for each in draft.evidence:
        if each.set_aside:
            found.append(
                f"{each.tool}: {each.set_aside} failures have a reason that no answer told, "
                f"such as {each.example}"
            )
    for each in draft.evidence:
        unsaid = [c.text for c in each.conditions if c.form is Form.UNSAID and _matters(c)]
        if unsaid:
            found.append(f"{each.tool}: failures speak for {', '.join(unsaid)}; say it otherwise")
    for each in draft.evidence:
        n = each.successes + each.failures
        if n < FEW:
            found.append(f"{each.tool}: {n} calls only")
        elif not each.failures:
            found.append(f"{each.tool}: never failed, so nothing shows what it needs")
    return found


def _matters(condition: Condition) -> bool:
    return condition.support is not Support.CAREFUL


def _blocks(draft: Draft) -> Iterator[Block]:
    yield Heading(1, f"Evidence for domain {draft.schema.domain}")
    n_calls = sum(each.successes + each.failures for each in draft.evidence)
    claims = sum(each.claims for each in draft.evidence)
    kept = "every condition below" if draft.caution == "safe" else "what failures speak for"
    yield Paragraph(
        f"From {draft.n_traces} traces with {n_calls} calls. The draft has {kept}. "
        f"{claims} claims about it were proved from the traces, and the proofs checked."
    )
    questions = open_questions(draft)
    if questions:
        yield Heading(2, "What the traces leave open")
        yield Table(("question",), tuple((question,) for question in questions))
    for each in draft.evidence:
        yield from _tool(each)


def _tool(each: ToolEvidence) -> Iterator[Block]:
    yield Heading(2, each.tool)
    yield Paragraph(f"{each.successes} calls succeeded, {each.failures} failed.")
    if each.unexplained:
        yield Paragraph(f"The draft never calls it: {each.unexplained}.")
    if each.set_aside:
        what = "failures that nothing tells apart from successes were set aside"
        yield Paragraph(f"{each.set_aside} {what}, such as {each.example}.")
    if each.conditions:
        rows = tuple((c.text, _WHERE[c.form], _WHY[c.support]) for c in each.conditions)
        yield Table(("condition", "where", "why"), rows, frozenset({0}))
    if each.effects:
        yield Paragraph(f"A success also changed: {', '.join(each.effects)}.")
