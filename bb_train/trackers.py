"""Trackers through accelerate: TensorBoard by default, others by name, none silently.

What is tracked is the step's record (`objectives/step_log.py`); the run's own log.jsonl is written
whether there is a tracker or not.
"""

from __future__ import annotations

from bb_core.errors import UsageError

DEFAULT = "tensorboard"


def chosen_trackers(names: tuple[str, ...] | None) -> list[str]:
    """The trackers of a run.

    Args:
        names: as configured; None is TensorBoard where it is installed, and none where it is not.

    Raises:
        UsageError: a name that accelerate does not know, or whose package is missing.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    there = [str(name) for name in get_available_trackers()]
    if names is None:
        return [DEFAULT] if DEFAULT in there else []
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise UsageError(f"no tracker {name!r}", where="trackers", fix=f"use {known}")
        if name not in there:
            raise UsageError(
                f"the package of {name} is missing", where="trackers",
                fix=f"pip install {name.replace('_', '-')}, or leave {name} out",
            )  # fmt: skip
    return list(names)
