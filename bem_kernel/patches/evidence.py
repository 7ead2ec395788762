"""Evidence as JSON records: proofs that travel, to be checked wherever the patch is applied."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bem_kernel.errors import ProofError
from bem_kernel.logic.drat_text import parse_drat_bytes, write_drat
from bem_kernel.patches.certificate import Evidence
from bem_kernel.patches.record import refused_record

FORMAT = "bem-evidence-1"

_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Evidence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["bem-evidence-1"]
    patch: _Hash
    before: _Hash
    scope: _Hash
    proofs: list[str]


def evidence_record(evidence: Evidence) -> dict[str, Any]:
    """Evidence as JSON values; each proof is the text of a DRAT file."""
    return {
        "format": FORMAT,
        "patch": evidence.patch,
        "before": evidence.before,
        "scope": evidence.scope,
        "proofs": [write_drat(proof) for proof in evidence.proofs],
    }


def evidence_from_record(record: object, where: str = "evidence") -> Evidence:
    """Inverse of `evidence_record`.

    Args:
        record: JSON values from anywhere.
        where: the file, for messages.

    Raises:
        PatchError: the record has another shape; the message names the field.
        ProofError: a proof does not parse; the message names it, its line and column.
    """
    try:
        read = _Evidence.model_validate(record)
    except ValidationError as error:
        raise refused_record(error, where) from error
    proofs = []
    for index, text in enumerate(read.proofs):
        try:
            proofs.append(parse_drat_bytes(text.encode(), f"{where}: proofs.{index}"))
        except UnicodeEncodeError as error:
            raise ProofError(
                "no text", where=f"{where}: proofs.{index}", fix="write it with bem patch verify"
            ) from error
    return Evidence(read.patch, read.before, read.scope, tuple(proofs))
