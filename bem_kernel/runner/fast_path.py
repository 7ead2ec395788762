"""The fast path, compiled: observe, query, gate, sample, apply, count, record.

A step costs the same however long the episode is: it touches the candidates, one expert, a trace
row and a few counters. The trace is a ring in TRACE; a run stops before it would overwrite rows
that the mid path has not used up.

With `S_EACH_LANE` every lane observes and chooses for itself, and EXPERT_BATCH runs the choices
grouped; otherwise lane 0 observes and one expert runs in all lanes.

Source: BEM core spec 6, 10.1.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.experts.batch import (
    SCRATCH,
    TABLE,
    apply_expert,
    apply_lanes,
    fingerprint_planes,
    word_fingerprint,
)
from bem_kernel.experts.descriptor import CONDITION_BIT, CONDITION_VALUE, IDENTIFIER
from bem_kernel.policy.counter import stream_ticket
from bem_kernel.policy.sampling import draw, share_q30, weigh
from bem_kernel.runner.layout import (
    FAULT_NO_CANDIDATE,
    HEAD,
    S_EACH_LANE,
    S_HIGH_SLOT,
    S_K,
    S_LANES,
    S_MIDDLE_2,
    S_RULE,
    S_SHARD,
    S_WORDS,
    S_WORLD_SLOT,
    STEP,
    STREAM_NOISE,
    T_FINGERPRINT,
    T_IDENTIFIER,
    T_LANE,
    T_OBSERVATION,
    T_PROBABILITY_Q30,
    T_REWARD,
    T_SLOT,
    T_STEP,
    TAIL,
)
from bem_kernel.runner.sense import observe_lane, query_word, reward_now
from bem_kernel.search.brute import nearest_brute

STATE = "Tuple((uint64[:, ::1], uint64[::1], uint64[::1]))"
"""planes (N, pitch), shared memory M (K / 64,), lanes in use (words,)."""

POLICY = "Tuple((uint32[::1], uint8[::1], int64[::1], int64[::1], int64[::1]))"
"""Gray codes, live, duals_q16, wins, visits, all (max_experts,)."""

SENSES = "Tuple((int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1]))"
"""Taps, their terms, reward terms, state bits filled with noise."""

ROOM = "Tuple((int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], uint64[::1]))"
"""Candidates, distances, weights_q30 (k,), choices and rewards (lanes,), one lane (words,)."""

RECORD = "Tuple((int64[:, ::1], int64[::1]))"
"""Trace rows (capacity, TRACE_COLUMNS), the clock (CLOCK_CELLS,)."""

RULES = "Tuple((int64[::1], uint64[::1]))"
"""Settings (SETTINGS,), keys (2,): of the tickets, of the query's hash."""

MACHINE = f"Tuple(({TABLE}, {SCRATCH}, {STATE}, {POLICY}, {SENSES}, {ROOM}, {RECORD}, {RULES}))"
"""Type of `machine_arrays.kernel_arrays`: all that the fast path reads and writes."""


@kernel(f"int64(uint64, {POLICY}, {ROOM}, {RULES})")
def find_candidates(observation, policy, room, rules):  # type: ignore[no-untyped-def]
    """Ask the ANN unit for the experts near an observation; how many there are."""
    settings, keys = rules
    query = query_word(observation, settings[S_RULE], settings[S_SHARD], keys[1])
    return nearest_brute(
        policy[0], policy[1], settings[S_HIGH_SLOT], query, settings[S_K], room[0], room[1]
    )


@kernel(f"int64({MACHINE}, int64, int64)")
def gate(machine, count, lane):  # type: ignore[no-untyped-def]
    """Leave out the candidates that would change nothing, since their condition does not hold.

    Args:
        machine: see MACHINE; the candidates that stay are moved to the front.
        count: candidates, 1 or more.
        lane: that chooses; -1: an expert stays if it applies in any lane in use.

    Returns:
        How many stay; all if none applies.

    Source: BEM core spec 8.3, gating conditions.
    """
    descriptors, state, candidates = machine[0][0], machine[2], machine[5][0]
    staying = np.int64(0)
    for k in range(count):
        slot = candidates[k]
        bit = descriptors[slot, CONDITION_BIT]
        applies = bit < 0
        if not applies:
            inverted = np.uint64(descriptors[slot, CONDITION_VALUE]) - np.uint64(1)
            if lane >= 0:
                holds = state[0][bit, lane >> 6] ^ inverted
                applies = holds >> np.uint64(lane & 63) & np.uint64(1) != np.uint64(0)
            else:
                for word in range(len(state[2])):
                    holds = (state[0][bit, word] ^ inverted) & state[2][word]
                    applies = applies or holds != np.uint64(0)
        if applies:
            candidates[k] = candidates[staying]
            candidates[staying] = slot
            staying += 1
    return staying if staying > 0 else count


@kernel(f"int64(int64, int64, int64, uint64, {TABLE}, {POLICY}, {ROOM}, {RECORD}, uint64)")
def choose(  # type: ignore[no-untyped-def]
    count, row, lane, observation, table, policy, room, record, key
):
    """Sample one of the candidates and note the choice; nine arguments, a kernel over arrays.

    Args:
        count: candidates, 1 or more.
        row: row of the trace, counted from the machine's beginning.
        lane: that chooses, -1 for all.
        observation: what it saw.
        table: see `ExpertTable.arrays`.
        policy: see POLICY.
        room: see ROOM.
        record: see RECORD.
        key: of the tickets.

    Returns:
        The slot chosen.
    """
    candidates, weights = room[0], room[2]
    trace, clock = record
    total = weigh(policy[2], candidates, count, weights)
    stream = np.uint64(max(lane, np.int64(0)))
    ticket = stream_ticket(key, stream, np.uint64(clock[STEP]))
    position = draw(weights, count, total, ticket)
    slot = candidates[position]
    entry = trace[row % np.int64(len(trace))]
    entry[T_STEP] = clock[STEP]
    entry[T_LANE] = lane
    entry[T_OBSERVATION] = np.int64(observation)
    entry[T_IDENTIFIER] = table[0][slot, IDENTIFIER]
    entry[T_SLOT] = slot
    entry[T_PROBABILITY_Q30] = share_q30(weights[position], total)
    entry[T_REWARD] = 0
    return slot


@kernel(f"int64({MACHINE})")
def act(machine):  # type: ignore[no-untyped-def]
    """Observe, query, sample and apply; the trace rows wait for `settle`.

    A world outside the kernels may change the state in any way between steps: it calls
    `take_fingerprint` before.

    Returns:
        0; or a fault, and neither state nor clock has changed.
    """
    table, scratch, state, policy, senses, room, record, rules = machine
    settings, clock = rules[0], record[1]
    words, key = settings[S_WORDS], rules[1][0]
    before = scratch[6][0]
    if settings[S_EACH_LANE] == 0:
        observation = observe_lane(
            senses[0], senses[1], state[0], words, state[1], state[2], np.int64(0)
        )
        count = find_candidates(observation, policy, room, rules)
        if count == 0:
            return np.int64(FAULT_NO_CANDIDATE)
        staying = gate(machine, count, np.int64(-1))
        slot = choose(
            staying, clock[HEAD], np.int64(-1), observation, table, policy, room, record, key
        )
        fault = apply_expert(table, slot, state[0], words, state[1], state[2], scratch)
    else:
        fault = choose_each(machine)
        if fault == 0:
            fault = apply_lanes(table, room[3], state[0], words, state[1], scratch)
    rows = settings[S_LANES] if settings[S_EACH_LANE] != 0 else np.int64(1)
    trace = record[0]
    for row in range(clock[HEAD], clock[HEAD] + rows):
        trace[row % np.int64(len(trace)), T_FINGERPRINT] = np.int64(before)
    return fault


@kernel(f"int64({MACHINE})")
def choose_each(machine):  # type: ignore[no-untyped-def]
    """Let every lane observe and choose; 0 or FAULT_NO_CANDIDATE.

    Lanes that follow each other and see the same share one query.
    """
    table, _, state, policy, senses, room, record, rules = machine
    settings, clock = rules[0], record[1]
    last, count = np.uint64(0), np.int64(-1)
    for lane in range(settings[S_LANES]):
        observation = observe_lane(
            senses[0], senses[1], state[0], settings[S_WORDS], state[1], state[2], lane
        )
        if count < 0 or observation != last:
            count = find_candidates(observation, policy, room, rules)
            last = observation
        if count == 0:
            return np.int64(FAULT_NO_CANDIDATE)
        staying = gate(machine, count, lane)
        room[3][lane] = choose(
            staying, clock[HEAD] + lane, lane, observation, table, policy, room, record, rules[1][0]
        )
    return np.int64(0)


@kernel(f"void({POLICY}, {ROOM}, {RECORD}, {RULES})")
def settle(policy, room, record, rules):  # type: ignore[no-untyped-def]
    """Enter the rewards of the step that `act` took, count visits and wins, advance the clock."""
    settings, (trace, clock), rewards = rules[0], record, room[4]
    rows = settings[S_LANES] if settings[S_EACH_LANE] != 0 else np.int64(1)
    for i in range(rows):
        entry = trace[(clock[HEAD] + i) % np.int64(len(trace))]
        entry[T_REWARD] = rewards[i]
        slot = entry[T_SLOT]
        policy[4][slot] += 1
        if 2 * rewards[i] > settings[S_MIDDLE_2]:
            policy[3][slot] += 1
    clock[HEAD] += rows
    clock[STEP] += 1


@kernel(f"void({STATE}, int64[::1], int64, int64, uint64, {SCRATCH})")
def add_noise(state, noise, words, step, key, scratch):  # type: ignore[no-untyped-def]
    """Fill state bits with fresh random words, in the lanes in use; six arguments, a kernel."""
    planes, _, mask = state
    fingerprint = scratch[6]
    for i in range(len(noise)):
        for word in range(words):
            stream = np.uint64(STREAM_NOISE) + (np.uint64(i) << np.uint64(24) | np.uint64(word))
            drawn = stream_ticket(key, stream, np.uint64(step)) & mask[word]
            old = planes[noise[i], word]
            new = (old & ~mask[word]) | drawn
            planes[noise[i], word] = new
            fingerprint[0] += word_fingerprint(noise[i], word, new)
            fingerprint[0] -= word_fingerprint(noise[i], word, old)


@kernel(f"void({STATE}, int64[:, ::1], {ROOM}, {RULES})")
def measure(state, rewards, room, rules):  # type: ignore[no-untyped-def]
    """Write the rewards of the step, one for each row that `settle` expects."""
    planes, shared, mask = state
    settings, one = rules[0], room[5]
    words = settings[S_WORDS]
    if settings[S_EACH_LANE] == 0:
        room[4][0] = reward_now(rewards, planes, words, shared, mask)
        return
    for lane in range(settings[S_LANES]):
        one[lane >> 6] = np.uint64(1) << np.uint64(lane & 63)
        room[4][lane] = reward_now(rewards, planes, words, shared, one)
        one[lane >> 6] = np.uint64(0)


@kernel(f"void({STATE}, {SCRATCH}, int64)")
def take_fingerprint(state, scratch, words):  # type: ignore[no-untyped-def]
    """Take the state's fingerprint, and keep it up to date from here on."""
    scratch[6][0] = fingerprint_planes(state[0], words)
    scratch[6][1] = np.uint64(1)


@kernel(f"int64({MACHINE}, int64)")
def run_steps(machine, steps):  # type: ignore[no-untyped-def]
    """Take steps in a world that is compiled too: noise, choice, the world's expert, reward.

    Args:
        machine: see MACHINE.
        steps: the most to take; fewer if the trace has no room for more.

    Returns:
        0; or a fault. Steps taken are what the clock has advanced by. At a fault of the world's
        expert the chosen one has run already.
    """
    table, scratch, state, policy, senses, room, record, rules = machine
    settings, clock = rules[0], record[1]
    words, key, world = settings[S_WORDS], rules[1][0], settings[S_WORLD_SLOT]
    rows = settings[S_LANES] if settings[S_EACH_LANE] != 0 else np.int64(1)
    capacity = np.int64(len(record[0]))
    take_fingerprint(state, scratch, words)
    for _ in range(steps):
        if clock[HEAD] + rows - clock[TAIL] > capacity:
            break
        add_noise(state, senses[3], words, clock[STEP], key, scratch)
        fault = act(machine)
        if fault == 0 and world >= 0:
            fault = apply_expert(table, world, state[0], words, state[1], state[2], scratch)
        if fault != 0:
            scratch[6][1] = np.uint64(0)
            return fault
        measure(state, senses[2], room, rules)
        settle(policy, room, record, rules)
    scratch[6][1] = np.uint64(0)
    return np.int64(0)
