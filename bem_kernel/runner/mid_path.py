"""The mid path, compiled: charge experts for the losses in the trace, and free the rows.

IX charges each choice at once. The literal rule sums losses by expert and charges their averages
when the episode ends. Either way the cost is proportional to the rows used up, plus the number of
experts at the end of an episode.

Source: BEM core spec 7.1, 7.2, 10.1.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.policy.counter import stream_ticket
from bem_kernel.policy.estimators import charge_dual, ix_loss_q16
from bem_kernel.runner.layout import (
    EPISODE_LOSS_Q16,
    EPISODE_REWARD,
    ETA_Q16,
    GAMMA_Q30,
    GREATEST,
    HEAD,
    LEAST,
    LITERAL,
    STREAM_ROUNDING,
    T_PROBABILITY_Q30,
    T_REWARD,
    T_SLOT,
    TAIL,
    TOTAL_LOSS_Q16,
    UPDATES,
)

LEDGER = "Tuple((int64[::1], int64[::1], int64[::1], int64[::1]))"
"""duals_q16, charges_q16, episode losses Q16 and episode choices, all (max_experts,)."""

_MOST = np.int64(1 << 62)


@kernel("int64(int64, int64)")
def add_saturating(total, charge):  # type: ignore[no-untyped-def]
    """The sum of two numbers of 0 to 2**62, at most 2**62."""
    return min(total + charge, _MOST)


@kernel(f"void({LEDGER}, int64[:, ::1], int64[::1], int64[::1], uint64)")
def learn(ledger, trace, clock, rates, key):  # type: ignore[no-untyped-def]
    """Use up all rows of the trace.

    Args:
        ledger: see LEDGER.
        trace: (capacity, TRACE_COLUMNS) int64.
        clock: (CLOCK_CELLS,) int64.
        rates: (RATES,) int64.
        key: of the tickets that round charges.
    """
    duals, charges, losses, choices = ledger
    span = rates[GREATEST] - rates[LEAST]
    for row in range(clock[TAIL], clock[HEAD]):
        entry = trace[row % np.int64(len(trace))]
        slot = entry[T_SLOT]
        loss = ((rates[GREATEST] - entry[T_REWARD]) << np.int64(16)) // span
        clock[TOTAL_LOSS_Q16] = add_saturating(clock[TOTAL_LOSS_Q16], loss)
        clock[EPISODE_LOSS_Q16] = add_saturating(clock[EPISODE_LOSS_Q16], loss)
        clock[EPISODE_REWARD] += entry[T_REWARD]
        charge = ix_loss_q16(loss, entry[T_PROBABILITY_Q30], rates[GAMMA_Q30])
        charges[slot] = add_saturating(charges[slot], charge)
        if rates[LITERAL] == 0:
            ticket = stream_ticket(key, np.uint64(STREAM_ROUNDING), np.uint64(row))
            charge_dual(duals, slot, charge, rates[ETA_Q16], ticket)
        else:
            losses[slot] += loss
            choices[slot] += 1
    clock[TAIL] = clock[HEAD]
    clock[UPDATES] += 1


@kernel(f"void({LEDGER}, int64, int64, uint64)")
def charge_averages(ledger, eta_q16, episode, key):  # type: ignore[no-untyped-def]
    """End an episode under the literal rule: charge each expert the average of its losses.

    Args:
        ledger: see LEDGER; the episode's losses and choices are 0 afterwards.
        eta_q16: learning rate.
        episode: number of the episode, for rounding.
        key: of the tickets that round charges.
    """
    duals, _, losses, choices = ledger
    for slot in range(len(duals)):
        if choices[slot] > 0:
            stream = np.uint64(STREAM_ROUNDING) + np.uint64(1 + slot)
            ticket = stream_ticket(key, stream, np.uint64(episode))
            charge_dual(duals, np.int64(slot), losses[slot] // choices[slot], eta_q16, ticket)
            losses[slot] = 0
            choices[slot] = 0


@kernel("void(int64[::1], uint8[::1], int64)")
def renormalise(duals, live, n):  # type: ignore[no-untyped-def]
    """Subtract the least dual of those that the policy may choose, so that none ever saturates.

    Weights are relative, so no probability changes; the floor that keeps every weight above 0 is
    the sampler's.

    Args:
        duals: (max_experts,) int64, Q16 octaves.
        live: (max_experts,) uint8.
        n: slots to look at.

    Source: BEM core spec 7.2.
    """
    least = _MOST
    for slot in range(n):
        if live[slot] != 0:
            least = min(least, duals[slot])
    for slot in range(n):
        if live[slot] != 0:
            duals[slot] -= least
