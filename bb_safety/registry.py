"""What is in production, what was before, and how it came there.

A *revision* is a content-addressed record {kind, artifact tree, base fingerprint, provenance}.
Three aliases name revisions: `production`, `previous`, `candidate`. They change together in one
transaction, and only

- from nothing to the base rail alone, when a registry is first used;
- by `promote`, with a decision that the gate recorded, once, while its incumbent is in production;
- by `rollback`, to `previous`.

Each change is logged *before* it is made, under the log's lock, so no change is ever unlogged. A
process killed between the two leaves a logged switch that did not happen; `promote` with the same
decision completes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import canonical_json, fingerprint
from bb_core.errors import BBError
from bb_core.store import Store, tree_manifest
from bb_core.workspace import Workspace
from bb_safety.audit import AuditLog
from bb_safety.decision import Decision, decision_to_json
from bb_safety.evidence import CandidateSpec
from bb_safety.usage import UsageStore
from bem_kernel.ledger.chain import Ledger

PRODUCTION, PREVIOUS, CANDIDATE = "production", "previous", "candidate"

_KINDS = ("base", "rail")
_MIN_PREFIX = 6


class RegistryError(BBError):
    """The registry refuses, or what it holds is damaged."""


class VoidDecisionError(RegistryError):
    """The decision was right when it was made and no longer applies."""


@dataclass(frozen=True)
class Revision:
    """One registered revision.

    Attributes:
        digest: content address of this record; the revision's name.
        kind: "rail", or "base" for the base rail alone.
        artifact: content address of its files; None for the base rail alone.
        base_fingerprint: of the frozen base rail it runs beside.
        provenance: where it came from: run, data and configuration hashes, parents.
    """

    digest: str
    kind: str
    artifact: str | None
    base_fingerprint: str
    provenance: Mapping[str, Any]

    def spec(self) -> CandidateSpec:
        """How the gate names this revision."""
        return CandidateSpec(self.digest, self.base_fingerprint, self.kind)


class Registry:
    """The registry of a workspace; several processes may share it.

    Args:
        workspace: files go to its artifacts, spent evidence to its registry, the log to its logs.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.store = Store(workspace.artifacts)
        self.usage = UsageStore(workspace.registry / "gate.sqlite")
        self.log = AuditLog(workspace.logs / "gate.jsonl", workspace.registry / "lock")

    def add(
        self,
        folder: Path | str | None,
        *,
        base_fingerprint: str,
        provenance: Mapping[str, Any],
        kind: str = "rail",
    ) -> Revision:
        """Register a revision and make it the candidate; adding it again changes nothing else.

        Args:
            folder: its files; None for the base rail alone.
            base_fingerprint: of the base rail it was trained beside.
            provenance: JSON values.
            kind: "rail" or "base".

        Raises:
            RegistryError: kind and folder do not fit.
            BBError: the folder cannot be stored.
        """
        if kind not in _KINDS or (kind == "base") != (folder is None):
            raise RegistryError(
                f"kind {kind!r} {'without' if folder is None else 'with'} files",
                where="registry add",
                fix="give a rail its folder, and the base rail none",
            )
        artifact = None if folder is None else self.store.put_tree(folder)
        body = {
            "kind": kind,
            "artifact": artifact,
            "base_fingerprint": base_fingerprint,
            "provenance": dict(provenance),
        }
        digest = self.store.put_json(body)
        with self.log.turn() as ledger:
            if digest not in {record.body["revision"] for record in self._records()}:
                ledger.append({"type": "registry.add", "revision": digest, **body})
                self.store.add_record("revision", {"revision": digest})
            if digest != self.store.alias(PRODUCTION):
                self.store.set_alias(CANDIDATE, digest)
        return self._load(digest)

    def begin(self, base_fingerprint: str, provenance: Mapping[str, Any]) -> Revision:
        """Put the base rail alone into production of a registry that has nothing there yet.

        Returns:
            What is in production afterwards: the base rail, or what was there before.
        """
        present = self.production()
        if present is not None:
            return present
        base = self.add(None, base_fingerprint=base_fingerprint, provenance=provenance, kind="base")
        with self.log.turn() as ledger:
            if self.store.alias(PRODUCTION) is None:
                changes = {PRODUCTION: base.digest, CANDIDATE: None}
                self._switch(ledger, changes, {"cause": "begin"})
        return self._in_production()

    def production(self) -> Revision | None:
        """What is in production, None in a registry that was never used."""
        digest = self.store.alias(PRODUCTION)
        return None if digest is None else self._load(digest)

    def revisions(self) -> list[Revision]:
        """All revisions, oldest first."""
        digests = dict.fromkeys(record.body["revision"] for record in self._records())
        return [self._load(digest) for digest in digests]

    def find(self, name: str) -> Revision:
        """The revision with this alias, digest or unique beginning of a digest.

        Raises:
            RegistryError: there is none, or more than one.
        """
        digest = self.store.alias(name)
        if digest is not None:
            return self._load(digest)
        found = dict.fromkeys(
            record.body["revision"]
            for record in self._records()
            if len(name) >= _MIN_PREFIX and record.body["revision"].startswith(name)
        )
        if len(found) != 1:
            raise RegistryError(
                f"{len(found)} revisions are called {name!r}",
                where="registry",
                fix=f"use an alias, or {_MIN_PREFIX} or more digits that name one revision",
            )
        return self._load(next(iter(found)))

    def folder(self, revision: Revision) -> Path | None:
        """Where a revision's files are, None for the base rail alone."""
        return None if revision.artifact is None else self.store.get(revision.artifact)

    def promote(self, decision: Decision) -> Revision:
        """Put a candidate into production on the gate's decision.

        Calling it again with the same decision while its candidate is in production does nothing.

        Raises:
            RegistryError: the gate did not record this decision, its verdict is not to promote,
                or the candidate's files are not what was registered.
            VoidDecisionError: the incumbent it was compared with is no longer in production, or
                the decision was used before. That it was void is logged.
        """
        self._check_recorded(decision)
        candidate = self._load(decision.candidate)
        self._check_intact(candidate)
        with self.log.turn() as ledger:
            aliases = self.store.aliases()
            switches = self._switches()
            mine = [entry for entry in switches if entry.get("decision") == decision.sequence]
            used_before = bool(mine) and mine[-1] is not switches[-1]
            if mine and not used_before and aliases.get(PRODUCTION) == decision.candidate:
                return candidate
            if used_before or aliases.get(PRODUCTION) != decision.incumbent:
                self._void(ledger, decision, aliases.get(PRODUCTION), used_before=used_before)
            changes: dict[str, str | None]
            changes = {PRODUCTION: decision.candidate, PREVIOUS: decision.incumbent}
            if aliases.get(CANDIDATE) == decision.candidate:
                changes[CANDIDATE] = None
            why = {"cause": "decision", "decision": decision.sequence}
            self._switch(ledger, changes, why, log=not mine)
        return candidate

    def rollback(self, reason: str) -> Revision:
        """Put `previous` back into production; what was there can only return through the gate.

        Raises:
            RegistryError: there is no previous revision, or its files are damaged.
        """
        with self.log.turn() as ledger:
            previous = self.store.alias(PREVIOUS)
            if previous is None:
                raise RegistryError(
                    "there is no previous revision",
                    where="rollback",
                    fix="promote a revision first; a rollback goes one step back",
                )
            self._check_intact(self._load(previous))
            changes = {PRODUCTION: previous, PREVIOUS: None}
            self._switch(ledger, changes, {"cause": "rollback", "reason": reason})
        return self._in_production()

    def _switch(
        self,
        ledger: Ledger,
        changes: Mapping[str, str | None],
        why: Mapping[str, Any],
        *,
        log: bool = True,
    ) -> None:
        """Log a change of production, then make it; the caller holds the log's turn."""
        before = self.store.alias(PRODUCTION)
        if log:
            entry = {"type": "registry.switch", "from": before, "to": changes[PRODUCTION], **why}
            ledger.append(entry)
        self.store.set_aliases(changes, expect={PRODUCTION: before})

    def _void(
        self, ledger: Ledger, decision: Decision, production: str | None, *, used_before: bool
    ) -> None:
        ledger.append(
            {
                "type": "registry.void",
                "decision": decision.sequence,
                "production": production,
                "used_before": used_before,
            }
        )
        what = (
            f"decision {decision.sequence} was carried out before"
            if used_before
            else f"decision {decision.sequence} compared with {decision.incumbent[:12]}, and "
            f"{(production or 'nothing')[:12]} is in production now"
        )
        raise VoidDecisionError(
            what, where="promote", fix="submit the candidate again, against what is in production"
        )

    def _check_recorded(self, decision: Decision) -> None:
        recorded = self.usage.decision(decision.sequence)
        document = canonical_json(decision_to_json(decision)).decode()
        if recorded is None or recorded.document != document:
            raise RegistryError(
                f"decision {decision.sequence} is not one that the gate recorded here",
                where="promote",
                fix="pass on what bb_safety.promote.gate returned, unchanged",
            )
        if decision.verdict != "promote":
            raise RegistryError(
                f"decision {decision.sequence} is {decision.verdict}, not promote",
                where="promote",
                fix=decision.next_step,
            )

    def _check_intact(self, revision: Revision) -> None:
        folder = self.folder(revision)
        if folder is not None and fingerprint(tree_manifest(folder)) != revision.artifact:
            raise RegistryError(
                "its files are not those that were registered",
                where=f"revision {revision.digest[:12]}",
                fix="see `bb registry verify`; register the revision again from its run",
            )

    def _in_production(self) -> Revision:
        found = self.production()
        assert found is not None
        return found

    def _switches(self) -> list[dict[str, Any]]:
        return [entry for entry in self.log.entries() if entry["type"] == "registry.switch"]

    def _records(self) -> list[Any]:
        return self.store.records("revision")

    def _load(self, digest: str) -> Revision:
        body = self.store.get_json(digest)
        if fingerprint(body) != digest:
            raise RegistryError(
                "its record is not what was registered",
                where=f"revision {digest[:12]}",
                fix="see `bb registry verify`; register the revision again from its run",
            )
        return Revision(digest, **body)


def revision_to_json(revision: Revision) -> dict[str, Any]:
    """A revision as plain JSON values."""
    return asdict(revision) | {"provenance": dict(revision.provenance)}
