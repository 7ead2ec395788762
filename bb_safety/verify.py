"""Whether a registry is what it says: files, records, log, decisions and aliases agree.

The log is what the rest is checked against, because it is hash-chained. Keep its head elsewhere to
notice a log that was cut off or rewritten as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bb_core.canonical import sha256_hex
from bb_core.errors import BBError
from bb_core.store import Problem
from bb_safety.decision import decision_from_json
from bb_safety.promote import recompute
from bb_safety.registry import PREVIOUS, PRODUCTION, Registry
from bb_safety.usage import Recorded

Aliases = tuple[str | None, str | None]
"""What `production` and `previous` name."""


def verify_registry(registry: Registry) -> list[Problem]:
    """Everything that is wrong with a registry; empty if nothing is.

    An operation cut short by a crash is not wrong: what it logged and did not do can be repeated.
    """
    problems = list(registry.store.verify())
    problems.extend(_revisions(registry))
    checked = registry.log.verify()
    if checked is not None and not checked.ok:
        where = f"{registry.log.path}: entry {checked.first_bad}"
        return [*problems, Problem(where, checked.reason)]
    entries = registry.log.entries()
    problems.extend(_decisions(registry, entries))
    problems.extend(_aliases(registry, entries))
    return problems


def _revisions(registry: Registry) -> Iterator[Problem]:
    for record in registry.store.records("revision"):
        digest = str(record.body["revision"])
        try:
            registry.folder(registry.find(digest))
        except BBError as error:
            yield Problem(f"revision {digest[:12]}", str(error))


def _decisions(registry: Registry, entries: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    recorded = {found.sequence: found for found in registry.usage.decisions()}
    states = {spent.number: spent.state for spent in registry.usage.submissions()}
    used = registry.usage.evaluation_sets()
    for sequence, entry in enumerate(entries):
        if entry["type"] != "gate.decision":
            continue
        where = f"decision {sequence}"
        found = recorded.pop(sequence, None)
        if entry["evaluation_set"] not in used:
            yield Problem(where, "its evaluation set is not marked as used")
        if found is not None:
            yield from _one_decision(registry, where, entry, found)
        elif states.get(entry["decision"]["submission"]) != "open":
            yield Problem(where, "is in the log and is not recorded")
    for sequence in recorded:
        yield Problem(f"decision {sequence}", "is recorded and is not in the log")


def _one_decision(
    registry: Registry, where: str, entry: Mapping[str, Any], found: Recorded
) -> Iterator[Problem]:
    document = json.loads(found.document)
    sequence = document.pop("sequence")
    if document != entry["decision"] or sequence != found.sequence:
        yield Problem(where, "differs from its log entry")
        return
    if sha256_hex(found.measurement.encode()) != entry["measurement"]:
        yield Problem(where, "its measurement differs from what was logged")
        return
    decision = decision_from_json(document | {"sequence": sequence})
    look = recompute(decision, registry.usage)
    expected = look.verdict if all(check.holds for check in decision.battery) else "reject"
    if (expected, look.n) != (decision.verdict, decision.evidence.n):
        yield Problem(where, f"its evidence leads to {expected} after {look.n} requests")


def _aliases(registry: Registry, entries: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Replay the logged switches; the last one of them may have been cut short."""
    before: Aliases = (None, None)
    after: Aliases = (None, None)
    for index, entry in enumerate(entries):
        if entry["type"] != "registry.switch":
            continue
        if entry["from"] != after[0]:
            after = before
        if entry["from"] != after[0]:
            yield Problem(f"{registry.log.path}: entry {index}", "switches from what was not there")
        previous = entry["from"] if entry["cause"] == "decision" else None
        before, after = after, (entry["to"], previous)
    names = registry.store.aliases()
    actual = (names.get(PRODUCTION), names.get(PREVIOUS))
    if actual not in (before, after):
        told = " and ".join((digest or "nothing")[:12] for digest in after)
        seen = " and ".join((digest or "nothing")[:12] for digest in actual)
        yield Problem("aliases production and previous", f"name {seen}; the log put {told} there")
