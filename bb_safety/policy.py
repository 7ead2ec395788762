"""The gate's policy: one YAML file, every number checked for its range, unknown keys refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bb_core.canonical import fingerprint
from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_core.lyapunov import Risk
from bb_safety.eprocess import Bets
from bb_safety.risk import COMPONENTS


class PolicyError(BBError):
    """The policy file says something that the gate cannot hold itself to."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class BetsPolicy(_Strict):
    """The grid of bets; see `bb_safety.eprocess.Bets`."""

    count: Annotated[int, Field(ge=1, le=256)] = 4
    smallest: Annotated[float, Field(gt=0, lt=1)] = 0.2
    largest: Annotated[float, Field(gt=0, lt=1)] = 0.95

    def grid(self) -> Bets:
        """The same grid as the e-process takes it."""
        return Bets(self.count, self.smallest, self.largest)


class GatePolicy(_Strict):
    """What a candidate must show before it may become production.

    Attributes:
        version: of this file's format.
        delta: bound on the chance that any candidate that is worse by epsilon is ever promoted,
            over all candidates together.
        epsilon: margin; a candidate is unsafe when its mean risk exceeds the incumbent's by it.
        min_samples: paired requests before the first look.
        max_samples: paired requests after which an undecided candidate is rejected.
        harm_level: level of the opposite test, which rejects a harmful candidate early.
        min_battery: requests the battery must have covered.
        risks: weight per risk component; the weights sum to 1.
        bets: the e-process's grid.
    """

    version: Annotated[int, Field(ge=1, le=1)]
    delta: Annotated[float, Field(gt=0, le=0.5)]
    epsilon: Annotated[float, Field(gt=0, le=0.5)]
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)]
    max_samples: Annotated[int, Field(ge=1, le=10_000_000)]
    harm_level: Annotated[float, Field(gt=0, le=0.5)]
    min_battery: Annotated[int, Field(ge=1, le=1_000_000)]
    risks: dict[str, Annotated[float, Field(gt=0, le=1)]]
    bets: BetsPolicy = BetsPolicy()

    @model_validator(mode="after")
    def _check_together(self) -> GatePolicy:
        if self.min_samples > self.max_samples:
            raise ValueError("min_samples is larger than max_samples")
        if set(self.risks) != set(COMPONENTS):
            raise ValueError(f"risks must weigh exactly {', '.join(COMPONENTS)}")
        if not math.isclose(sum(self.risks.values()), 1.0, abs_tol=1e-9):
            raise ValueError(f"the weights of risks sum to {sum(self.risks.values()):g}, not to 1")
        if self.bets.smallest > self.bets.largest:
            raise ValueError("bets.smallest is larger than bets.largest")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the policy's canonical JSON; two spellings of one policy agree."""
        return fingerprint(self.model_dump(mode="json"))

    def components(self) -> tuple[Risk, ...]:
        """The risk components of V_s with their weights."""
        return tuple(Risk(name, self.risks[name]) for name in COMPONENTS)

    def delta_for(self, submission: int) -> float:
        """Level spent by the j-th submitted candidate, promoted or not: 6 delta / (pi^2 j^2).

        The levels of all submissions, however many, sum to delta.

        Args:
            submission: j, from 1.
        """
        if submission < 1:
            raise PolicyError(
                f"submission {submission}", where="gate policy", fix="count submissions from 1"
            )
        return 6.0 * self.delta / (math.pi**2 * submission**2)


def load_policy(path: Path | str) -> GatePolicy:
    """Read and check a policy file.

    Raises:
        PolicyError: a key is missing, unknown or out of range; the message names file and key.
        BBError: the file is missing or is not YAML.
    """
    document = read_yaml(Path(path))
    try:
        return GatePolicy.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PolicyError(
            f"{key}: {first['msg']}" if key else first["msg"],
            where=str(path),
            fix="correct this key; configs/gate.yaml shows every key with its range",
        ) from None
