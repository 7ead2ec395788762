from __future__ import annotations

from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_core.workspace import Workspace

FOLDERS = ["runs", "artifacts", "registry", "logs", "caches", "domains", "traces"]


def test_folders_are_made_when_asked_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    assert not workspace.root.exists()
    for name in FOLDERS:
        assert getattr(workspace, name) == tmp_path / "work" / name
        assert (tmp_path / "work" / name).is_dir()
    assert sorted(FOLDERS) == sorted(folder.name for folder in workspace.root.iterdir())


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("not a folder")
    with pytest.raises(BBError, match=r"work/runs: cannot be made: .*; choose another workspace"):
        _ = Workspace(tmp_path / "work").runs
