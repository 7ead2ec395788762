"""The extras of this distribution, the packages they bring, and the command that installs them."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

DISTRIBUTION = "builderbrain"
CORE = ""


def requirements() -> dict[str, list[str]]:
    """Return the packages of each extra, `CORE` first; empty if the distribution is not installed.

    An extra that includes another names its packages too.
    """
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    groups: dict[str, list[str]] = {CORE: []}
    for line in lines:
        name, extra = _requirement(line)
        groups.setdefault(extra, []).append(name)
    return {extra: sorted(names) for extra, names in groups.items()}


def extra_of(module: str) -> str | None:
    """Return the first extra that brings a module (`CORE` for the core), or None."""
    wanted = _normal(module.partition(".")[0])
    for extra, names in requirements().items():
        if wanted in map(_normal, names):
            return extra
    return None


def install_command(extra: str) -> str:
    """Return the shell command that installs an extra, or the core, into this environment.

    In a checkout this is an editable install with the checkout's pinned versions.
    """
    root = Path(__file__).resolve().parent.parent
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    suffix = f"[{extra}]" if extra else ""
    if (root / "pyproject.toml").is_file() and (root / "constraints.txt").is_file():
        constraints = shlex.quote(str(root / "constraints.txt"))
        return f"{pip} -c {constraints} -e {shlex.quote(f'{root}{suffix}')}"
    return f"{pip} {shlex.quote(DISTRIBUTION + suffix)}"


def _requirement(line: str) -> tuple[str, str]:
    """Return package and extra of a metadata line such as `a>=1; extra == "x"`."""
    spec, _, marker = line.partition(";")
    name = spec.strip()
    for stop in "<>=!~[ (":
        name = name.partition(stop)[0]
    extra = marker.replace("'", '"').partition('extra == "')[2].partition('"')[0]
    return name, extra


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
