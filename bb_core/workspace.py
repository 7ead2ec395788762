"""The folder in which everything this software makes is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bb_core.errors import BBError

DEFAULT_ROOT = Path("bb-work")


@dataclass(frozen=True)
class Workspace:
    """A workspace; its folders are made when they are first asked for.

    Args:
        root: the workspace's own folder.
    """

    root: Path = DEFAULT_ROOT

    @property
    def runs(self) -> Path:
        """Immutable records of trainings and evaluations."""
        return self._folder("runs")

    @property
    def artifacts(self) -> Path:
        """The content-addressed store's files."""
        return self._folder("artifacts")

    @property
    def registry(self) -> Path:
        """Revisions, aliases and provenance."""
        return self._folder("registry")

    @property
    def logs(self) -> Path:
        """Hash-chained logs."""
        return self._folder("logs")

    @property
    def caches(self) -> Path:
        """What can be made again and may be deleted."""
        return self._folder("caches")

    @property
    def domains(self) -> Path:
        """Imported domains."""
        return self._folder("domains")

    @property
    def traces(self) -> Path:
        """Recorded workflows."""
        return self._folder("traces")

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BBError(
                f"cannot be made: {error.strerror}",
                where=str(folder),
                fix="choose another workspace with --work DIR",
            ) from error
        return folder
