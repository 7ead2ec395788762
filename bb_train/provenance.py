"""What a run's immutable record says, and the hash chain that says how it came about."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bb_core.canonical import file_sha256, fingerprint, sha256_hex
from bb_domains.schema import schema_data
from bb_train.config import TrainConfig
from bb_train.run_dir import RunDir
from bem_kernel.ledger.chain import Ledger, verify

if TYPE_CHECKING:
    from bb_domains.domain import Domain

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy")


def inputs(config: TrainConfig, domain: Domain, base: str, data: str) -> dict[str, Any]:
    """Hashes of everything a run is a function of.

    Args:
        config: resolved configuration.
        domain: loaded domain.
        base: fingerprint of base weights and tokenizer.
        data: SHA-256 of the training data.
    """
    return {
        "method": config.method,
        "base": base,
        "domain": {
            "name": domain.name,
            "fingerprint": domain.fingerprint,
            "grammar": sha256_hex(domain.grammar.encode()),
            "schema": fingerprint(schema_data(domain.schema)),
        },
        "config": config.model_dump(mode="json"),
        "data": {"train": data},
        "versions": {name: version(name) for name in _PACKAGES} | {"python": _python()},
    }


def log_start(run: RunDir, facts: dict[str, Any], step: int) -> None:
    """Chain entry: the run started, or resumed after `step` steps."""
    append(run, {"event": "start", "step": step, "inputs": fingerprint(facts)})


def log_checkpoint(run: RunDir, step: int, hashes: dict[str, str]) -> None:
    """Chain entry: a checkpoint with these file hashes stands after `step` steps."""
    append(run, {"event": "checkpoint", "step": step, "files": hashes})


def finish(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    """Hash the trained model, close the chain, and return the complete record."""
    files = tree_hashes(run.model)
    facts = {**facts, "model": {"fingerprint": fingerprint(files), "files": files}}
    append(run, {"event": "finish", "record": fingerprint(facts)})
    chain = verify(run.chain)
    return {**facts, "chain": {"entries": chain.entries, "head": chain.head}}


def append(run: RunDir, entry: dict[str, Any]) -> None:
    """Append one entry to the run's chain."""
    with Ledger(run.chain) as ledger:
        ledger.append(entry)


def tree_hashes(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file under `folder`, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def drop_checkpoint(run: RunDir) -> None:
    """Remove the checkpoint of a finished run."""
    shutil.rmtree(run.checkpoint, ignore_errors=True)


def _python() -> str:
    return platform.python_version()
