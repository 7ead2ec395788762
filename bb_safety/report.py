"""A decision as people read it: a few lines, and a picture of the path of the e-value."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bb_core.files import write_atomic
from bb_safety.decision import Decision
from bb_safety.eprocess import observe, start
from bb_safety.policy import GatePolicy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

_VERDICTS = {"promote": "PROMOTE", "reject": "REJECT", "more_data": "MORE DATA NEEDED for"}
_SHORT = 12
_COLOURS = {"candidate": "#1f6f8b", "incumbent": "#b0b0b0", "limit": "#c0392b"}


def decision_lines(decision: Decision) -> list[str]:
    """What was decided, why, on how much evidence, and what would change it."""
    evidence = decision.evidence
    new, old = decision.risks["candidate"], decision.risks["incumbent"]
    parts = ", ".join(
        f"{name} {new.components[name]:.3f} / {old.components[name]:.3f}"
        for name in sorted(new.components)
    )
    battery = "; ".join(
        f"{check.name} {'ok' if check.holds else 'FAILS'} ({check.detail})"
        for check in decision.battery
    )
    return [
        f"decision {decision.sequence}: {_VERDICTS[decision.verdict]} "
        f"{decision.candidate[:_SHORT]}, incumbent {decision.incumbent[:_SHORT]} "
        f"(submission {decision.submission}, set {decision.evaluation_set})",
        *(f"why      {reason}" for reason in decision.reasons),
        f"risk     V_s {new.v_s:.4f} / {old.v_s:.4f} (candidate / incumbent): {parts}",
        f"margin   mean difference {evidence.mean_difference:+.4f} over {evidence.n} of "
        f"{evidence.n_measured} requests; its expectation is below {evidence.upper_bound:+.4f} "
        f"with confidence {1 - decision.evidence.delta_j:.4f} however often one looks; "
        f"allowed below {decision.evidence.epsilon:+.4f}",
        f"battery  {battery}",
        f"next     {decision.next_step}",
    ]


def save_picture(
    path: Path | str, decision: Decision, differences: FloatArray, policy: GatePolicy
) -> None:
    """Draw the path of both e-values and the risk components as a PNG.

    Args:
        path: the file to write.
        decision: what the path led to.
        differences: (n,) paired differences of the decision's submission, in order.
        policy: the policy it was decided under.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    _draw_path(left, decision, differences, policy)
    _draw_risks(right, decision)
    figure.suptitle(
        f"Decision {decision.sequence}: {_VERDICTS[decision.verdict].lower()} "
        f"{decision.candidate[:_SHORT]}",
        x=0.01,
        ha="left",
    )
    buffer = io.BytesIO()
    # No creation date or software version: the same decision gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(Path(path), buffer.getvalue())


def _draw_path(axes: Axes, decision: Decision, differences: FloatArray, policy: GatePolicy) -> None:
    grid = policy.bets.grid()
    samples = np.arange(1, len(differences) + 1)
    limits = {
        1: ("not worse by the margin", _COLOURS["candidate"], decision.evidence.delta_j),
        -1: ("worse than the margin", _COLOURS["incumbent"], policy.harm_level),
    }
    for sign, (label, colour, level) in limits.items():
        _, log_e = observe(start(decision.evidence.epsilon, grid, sign=sign), differences)
        axes.plot(samples, log_e / math.log(10), color=colour, label=f"e-value: {label}")
        axes.axhline(-math.log10(level), color=colour, linestyle="--", linewidth=0.9)
    axes.axvline(decision.evidence.n, color=_COLOURS["limit"], linewidth=0.9, label="decided")
    axes.set(xlabel="paired requests", ylabel="log10 of the e-value")
    axes.legend(fontsize=8, frameon=False)


def _draw_risks(axes: Axes, decision: Decision) -> None:
    names = sorted(decision.risks["candidate"].components)
    rows = np.arange(len(names) + 1)
    for side, shift in (("candidate", 0.2), ("incumbent", -0.2)):
        summary = decision.risks[side]
        values = [summary.v_s, *(summary.components[name] for name in names)]
        axes.barh(rows[::-1] + shift, values, height=0.38, color=_COLOURS[side], label=side)
    axes.set_yticks(rows[::-1], ["V_s", *names])
    axes.set(xlabel="mean risk per request", xlim=(0, 1))
    axes.legend(fontsize=8, frameon=False)
