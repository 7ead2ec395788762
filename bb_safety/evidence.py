"""What the gate decides on: fresh requests, paired risks and the battery's counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.canonical import canonical_json, fingerprint
from bb_core.files import read_json, write_atomic
from bb_safety.eprocess import EvidenceError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateSpec:
    """A revision offered to the gate, or the one it is compared with.

    Attributes:
        revision: its content address in the registry (SHA-256, hex).
        base_fingerprint: fingerprint of the frozen base rail it declares to run beside.
        kind: "rail", or "base" for the base rail alone under the same masks.
    """

    revision: str
    base_fingerprint: str
    kind: str = "rail"


@dataclass(frozen=True)
class EvaluationSet:
    """Fresh draws of requests, by hash: the texts themselves may hold private fields.

    Attributes:
        name: for people; plays no part in recognising a set.
        seed: of the generator that drew it.
        requests: SHA-256 (hex) of each request text, in the order of drawing.
    """

    name: str
    seed: int
    requests: tuple[str, ...]

    @classmethod
    def of(cls, name: str, seed: int, texts: Sequence[str]) -> EvaluationSet:
        """The set of these request texts, in the order they were drawn."""
        return cls(name, seed, tuple(hashlib.sha256(text.encode()).hexdigest() for text in texts))

    @property
    def digest(self) -> str:
        """Identity of the set: neither its name, its seed nor its order changes it."""
        return fingerprint(sorted(self.requests))

    def draws(self) -> frozenset[str]:
        """Identity of each draw: two sets of one seed that share a request share a draw."""
        return frozenset(
            hashlib.sha256(f"{self.seed}:{request}".encode()).hexdigest()
            for request in self.requests
        )


@dataclass(frozen=True)
class PairedRisks:
    """Risks of candidate and incumbent on the same requests, in the order of drawing.

    Attributes:
        evaluation_set: the n requests.
        candidate_revision: whose risks `candidate` holds.
        incumbent_revision: whose risks `incumbent` holds.
        candidate: (n,) float64 in [0, 1] per risk component.
        incumbent: (n,) float64 in [0, 1] per risk component.
    """

    evaluation_set: EvaluationSet
    candidate_revision: str
    incumbent_revision: str
    candidate: Mapping[str, FloatArray]
    incumbent: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        if self.n == 0:
            raise EvidenceError(
                "the evaluation set is empty",
                where=f"evaluation set {self.evaluation_set.name}",
                fix="measure at least one fresh request",
            )
        for side, columns in (("candidate", self.candidate), ("incumbent", self.incumbent)):
            for name, column in columns.items():
                _check_column(f"{side}.{name}", column, self.n)

    @property
    def n(self) -> int:
        """Number of paired requests."""
        return len(self.evaluation_set.requests)


@dataclass(frozen=True)
class BatteryResult:
    """Hard checks on a candidate, as counts over the requests that the battery decoded.

    Attributes:
        revision: whose outputs were checked.
        requests: how many outputs.
        syntax_valid: how many parse as plans.
        admissible: how many the plan checker admits.
        base_fingerprint: of the base rail the candidate really ran beside.
    """

    revision: str
    requests: int
    syntax_valid: int
    admissible: int
    base_fingerprint: str

    def __post_init__(self) -> None:
        if not 0 <= self.admissible <= self.syntax_valid <= self.requests:
            raise EvidenceError(
                f"{self.admissible} admissible of {self.syntax_valid} valid of {self.requests}",
                where="battery",
                fix="count admissible plans among valid ones among all requests",
            )


def save_measurement(path: Path | str, risks: PairedRisks, battery: BatteryResult) -> None:
    """Write both as one canonical JSON file, which `bb gate run` reads."""
    write_atomic(Path(path), canonical_json(measurement_to_json(risks, battery)))


def load_measurement(path: Path | str) -> tuple[PairedRisks, BatteryResult]:
    """Read what `save_measurement` wrote.

    Raises:
        EvidenceError: the file does not have the right members; the message names it.
        BBError: the file is missing or is not JSON.
    """
    document = read_json(Path(path))
    try:
        return measurement_from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"not a measurement: {type(error).__name__}: {error}",
            where=str(path),
            fix="write it with bb_safety.evidence.save_measurement",
        ) from None


def measurement_to_json(risks: PairedRisks, battery: BatteryResult) -> dict[str, Any]:
    """Both as plain JSON values."""
    return {
        "evaluation_set": {
            "name": risks.evaluation_set.name,
            "seed": risks.evaluation_set.seed,
            "requests": list(risks.evaluation_set.requests),
        },
        "candidate": {"revision": risks.candidate_revision, "risks": _to_lists(risks.candidate)},
        "incumbent": {"revision": risks.incumbent_revision, "risks": _to_lists(risks.incumbent)},
        "battery": {name: getattr(battery, name) for name in BatteryResult.__dataclass_fields__},
    }


def measurement_from_json(document: Mapping[str, Any]) -> tuple[PairedRisks, BatteryResult]:
    """The inverse of `measurement_to_json`; KeyError, TypeError or ValueError on other input."""
    drawn, battery = document["evaluation_set"], document["battery"]
    risks = PairedRisks(
        EvaluationSet(str(drawn["name"]), int(drawn["seed"]), tuple(map(str, drawn["requests"]))),
        str(document["candidate"]["revision"]),
        str(document["incumbent"]["revision"]),
        _from_lists(document["candidate"]["risks"]),
        _from_lists(document["incumbent"]["risks"]),
    )
    counts = {name: int(battery[name]) for name in ("requests", "syntax_valid", "admissible")}
    return risks, BatteryResult(
        revision=str(battery["revision"]),
        base_fingerprint=str(battery["base_fingerprint"]),
        **counts,
    )


def _to_lists(columns: Mapping[str, FloatArray]) -> dict[str, list[float]]:
    return {name: [float(value) for value in columns[name]] for name in sorted(columns)}


def _from_lists(columns: Mapping[str, Any]) -> dict[str, FloatArray]:
    return {str(name): np.array(columns[name], dtype=np.float64) for name in columns}


def _check_column(name: str, column: FloatArray, n: int) -> None:
    if column.shape != (n,):
        raise EvidenceError(
            f"{column.shape} risks for {n} requests",
            where=name,
            fix="measure each component once per request",
        )
    bad = np.flatnonzero(~((column >= 0.0) & (column <= 1.0)))
    if bad.size:
        raise EvidenceError(
            f"the risk of request {bad[0]} is {column[bad[0]]}",
            where=name,
            fix="measure risks in [0, 1]",
        )
