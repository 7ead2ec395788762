"""Error localisation G(τ): the steps of a trace that matter most to what was lost.

Three localisers, from the cheapest to the dearest: the last steps, the largest temporal-difference
errors, and counterfactual replay of the steps that the other two point at.

Source: BEM core spec 8.2; Sutton 1988 (temporal differences).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bem_kernel.errors import PatchError
from bem_kernel.patches.trials import Laboratory
from bem_kernel.runner.reward import RewardRange
from bem_kernel.runner.trace import Step

ONE_Q16 = 1 << 16
_RATE_SHIFT = 4  # values move by a sixteenth of the error


@dataclass(frozen=True)
class Suspect:
    """A step that matters.

    Attributes:
        step: its number, from the machine's beginning.
        impact: what it cost, in the localiser's own unit; larger matters more.
    """

    step: int
    impact: int


def last_steps(trace: Sequence[Step], count: int) -> tuple[Suspect, ...]:
    """The last L steps, the last one first; the impact is the place from the beginning.

    Args:
        trace: τ, in order.
        count: L, 1 or more.

    Raises:
        PatchError: the count is less than 1.
    """
    _check(count)
    numbers = list(dict.fromkeys(choice.step for choice in trace))
    last = list(enumerate(numbers))[-count:]
    return tuple(Suspect(step, position + 1) for position, step in reversed(last))


def largest_td_errors(
    trace: Sequence[Step], count: int, limits: RewardRange, *, discount_q16: int = 0
) -> tuple[Suspect, ...]:
    """The steps that went worst, measured by what their experts led to expect.

    The critic knows what the policy knows: a value for each expert, none for each context. So an
    expert that is right in some contexts and wrong in others has its largest errors in the latter.
    It learns in one pass over the trace, and its errors are taken in a second one. Where every lane
    chooses, each is a trajectory of its own, and a step's error is the sum of its lanes'.

    Args:
        trace: τ, in order.
        count: most steps to return, 1 or more.
        limits: the rewards that are possible.
        discount_q16: of the next step's value; 0 where steps do not depend on each other.

    Returns:
        The most negative errors first, as impacts in Q16 of the rewards' range; none that went
        better than expected.

    Raises:
        PatchError: the count is less than 1.
    """
    _check(count)
    gains = {id(choice): _gain_q16(choice.reward, limits) for choice in trace}
    values: dict[int, int] = defaultdict(lambda: ONE_Q16 // 2)
    followers = list(_followed(trace))
    for choice, after in followers:
        next_q16 = values[after.expert] if after is not None else 0
        error = gains[id(choice)] + (discount_q16 * next_q16 >> 16) - values[choice.expert]
        values[choice.expert] += error >> _RATE_SHIFT
    errors: dict[int, int] = defaultdict(int)
    for choice, after in followers:
        next_q16 = values[after.expert] if after is not None else 0
        errors[choice.step] -= gains[id(choice)] + (discount_q16 * next_q16 >> 16)
        errors[choice.step] += values[choice.expert]
    return _worst((Suspect(step, error) for step, error in errors.items()), count)


def counterfactual(laboratory: Laboratory, steps: Iterable[int], count: int) -> tuple[Suspect, ...]:
    """The steps in which another choice, or another output, would have earned most.

    Args:
        laboratory: with a playback of the run.
        steps: numbers of the steps to try; steps that are not in the playback are left out.
        count: most steps to return, 1 or more.

    Returns:
        The dearest first, with the reward that was missed.

    Raises:
        PatchError: the count is less than 1.
    """
    _check(count)
    wanted = set(steps)
    found = []
    for moment in laboratory.playback.moments:
        if moment.step in wanted:
            missed = max(laboratory.swap_experts(moment).values(), default=0)
            tried = laboratory.invert_outputs(moment).values()
            inverted = sum(int(trials.gains.max(axis=1, initial=0).sum()) for trials in tried)
            found.append(Suspect(moment.step, max(missed, inverted)))
    return _worst(found, count)


def localise(laboratory: Laboratory, count: int) -> tuple[Suspect, ...]:
    """G(τ): counterfactual replay of the last steps and of those with the largest errors.

    Args:
        laboratory: with a playback of the run.
        count: most steps to return; up to twice as many are tried.

    Returns:
        The dearest first, with the reward that was missed.

    Raises:
        PatchError: the count is less than 1.
    """
    playback = laboratory.playback
    discount_q16 = ONE_Q16 - ONE_Q16 // laboratory.horizon
    worst = largest_td_errors(playback.trace, count, playback.limits, discount_q16=discount_q16)
    steps = {suspect.step for suspect in (*worst, *last_steps(playback.trace, count))}
    return counterfactual(laboratory, steps, count)


def _worst(suspects: Iterable[Suspect], count: int) -> tuple[Suspect, ...]:
    costly = [suspect for suspect in suspects if suspect.impact > 0]
    return tuple(sorted(costly, key=lambda each: (-each.impact, each.step))[:count])


def _followed(trace: Sequence[Step]) -> list[tuple[Step, Step | None]]:
    """Each choice with the next one of its lane."""
    last: dict[int | None, Step] = {}
    pairs: list[tuple[Step, Step | None]] = []
    for choice in reversed(trace):
        pairs.append((choice, last.get(choice.lane)))
        last[choice.lane] = choice
    return pairs[::-1]


def _gain_q16(reward: int, limits: RewardRange) -> int:
    return ((reward - limits.least) << 16) // (limits.greatest - limits.least)


def _check(count: int) -> None:
    if count < 1:
        raise PatchError(f"{count} steps", where="localise", fix="ask for 1 or more")
