"""EXPERT_BATCH, compiled: experts of the table applied to lanes of the state.

Both readings of the spec: `apply_expert` runs one expert on all lanes of a mask; `apply_lanes`
runs an expert of its own in each lane, lanes with equal experts together. Either changes nothing
if an address is out of range. The semantics, collisions on shared memory included, are those of
`expert.transform`, the plain twin.

Words of 64 lanes go through in blocks: inputs are gathered, the gates run, outputs are scattered.
State is separate by lane, so a block may be written before the next is read; writes to shared
memory are proposals until the whole batch is done.

Source: BEM core spec 3.2, 5.1, 6.5.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.engines.interpreter import run_gates
from bem_kernel.engines.native import call_address
from bem_kernel.experts.descriptor import (
    BASE,
    CONDITION_BIT,
    CONDITION_VALUE,
    ENABLE,
    FIRST_GATE,
    FIRST_PLACE,
    FIRST_TERM,
    IDENTIFIER,
    N_GATES,
    N_INPUTS,
    N_TARGETS,
    OFFSET,
    PLACE_FIRST_TERM,
    PLACE_N_TERMS,
    SLOT,
    SPACE,
    SPACE_STATE,
    STRIDE,
    WIDTH,
)
from bem_kernel.experts.faults import FAULT_ADDRESS, FAULT_EXPERT
from bem_kernel.experts.scratch import BLOCK, FAULT_SLOT, N_PROPOSALS
from bem_kernel.search.hamming import lowest_bit

TABLE = "Tuple((int64[:, ::1], int32[:, ::1], int64[:, ::1], int64[:, ::1], uint64[::1]))"
"""Type of `table.TableArrays`: descriptors, gates, places, terms, code."""

SCRATCH = (
    "Tuple((uint64[:, ::1], int64[::1], uint64[::1], int64[:, ::1], int64[::1], int64[::1],"
    " uint64[::1], int64[::1], int64[::1], int64[::1], uint64[::1]))"
)
"""Type of `scratch.Scratch`, in the order of its fields."""

# Columns of `Scratch.proposals`.
P_BIT = 0
P_LANE = 1
P_VALUE = 2
P_INDEX = 3

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser (Steele, Lea, Flood 2014)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@kernel("uint64(int64, int64, uint64)")
def word_fingerprint(row, word, value):  # type: ignore[no-untyped-def]
    """What one word of one plane adds to the state's fingerprint; 0 for an empty word."""
    mixed = value ^ (np.uint64(row) << np.uint64(32) | np.uint64(word)) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return np.uint64(0) if value == np.uint64(0) else mixed ^ (mixed >> np.uint64(31))


@kernel("uint64(uint64[:, ::1], int64)")
def fingerprint_planes(planes, words):  # type: ignore[no-untyped-def]
    """Fingerprint of a state: the sum modulo 2**64 of `word_fingerprint` over its words.

    It tells states apart, but is no defence against someone who forges them. A batch keeps it up
    to date for the words it writes (`Scratch.fingerprint`), so a step need not read the state.
    """
    total = np.uint64(0)
    for row in range(planes.shape[0]):
        for word in range(words):
            total += word_fingerprint(row, word, planes[row, word])
    return total


@kernel("int64(uint64[::1], int64, int64)")
def read_bits(shared, offset, width):  # type: ignore[no-untyped-def]
    """The unsigned integer in bits offset .. offset+width-1 of M; width 1 to 32, in range."""
    word, shift = offset >> 6, np.uint64(offset & 63)
    value = shared[word] >> shift
    if (offset & 63) + width > 64:
        value |= shared[word + 1] << (np.uint64(64) - shift)
    return np.int64(value & ((_ONE << np.uint64(width)) - _ONE))


@kernel(f"int64({TABLE}, int64, int64, uint64[::1], int64[::1])")
def resolve_expert(table, slot, n_bits, shared, rows):  # type: ignore[no-untyped-def]
    """Find the bit of each place of an expert.

    Args:
        table: see `table.TableArrays`.
        slot: a live expert.
        n_bits: N.
        shared: (K / 64,) uint64, M.
        rows: (inputs + targets or more,) int64, receives the bits.

    Returns:
        0, or FAULT_ADDRESS.
    """
    descriptors, _, places, terms, _ = table
    first_place, first_term = descriptors[slot, FIRST_PLACE], descriptors[slot, FIRST_TERM]
    for i in range(descriptors[slot, N_INPUTS] + descriptors[slot, N_TARGETS]):
        row = first_place + i
        bit = places[row, BASE]
        n_terms = places[row, PLACE_N_TERMS]
        if n_terms > 0:
            term = first_term + places[row, PLACE_FIRST_TERM]
            for t in range(term, term + n_terms):
                bit += terms[t, STRIDE] * read_bits(shared, terms[t, OFFSET], terms[t, WIDTH])
            limit = n_bits if places[row, SPACE] == SPACE_STATE else 64 * np.int64(len(shared))
            if bit < 0 or bit >= limit:
                return np.int64(FAULT_ADDRESS)
        rows[i] = bit
    return np.int64(0)


@kernel("int64(int64[::1], uint64[:, ::1], int64, uint64[::1], int64, uint64[::1])")
def active_run(descriptor, planes, words, mask, first, active):  # type: ignore[no-untyped-def]
    """The words from `first` on in which an expert has lanes to run in, up to a block.

    Args:
        descriptor: (DESCRIPTOR_COLUMNS,) int64.
        planes: (N, pitch) uint64.
        words: words in use.
        mask: (words,) uint64.
        first: word to begin with.
        active: (BLOCK,) uint64, receives the lanes of each word.

    Returns:
        Number of words; 0 if the first has no lane.
    """
    bit = descriptor[CONDITION_BIT]
    inverted = np.uint64(0) if descriptor[CONDITION_VALUE] == 1 else _ALL
    length = np.int64(0)
    while length < BLOCK and first + length < words:
        lanes = mask[first + length]
        if bit >= 0:
            lanes &= planes[bit, first + length] ^ inverted
        if lanes == np.uint64(0):
            break
        active[length] = lanes
        length += 1
    return length


@kernel(f"void({TABLE}, int64, uint64[:, ::1], int64, int64, uint64[::1], {SCRATCH})")
def gather(table, slot, planes, first, length, shared, scratch):  # type: ignore[no-untyped-def]
    """Copy an expert's inputs to the first rows of the slots; seven arguments, an inner loop."""
    descriptors, _, places, _, _ = table
    slots, rows = scratch[0], scratch[1]
    first_place = descriptors[slot, FIRST_PLACE]
    for i in range(descriptors[slot, N_INPUTS]):
        bit = rows[i]
        if places[first_place + i, SPACE] == SPACE_STATE:
            for w in range(length):
                slots[i, w] = planes[bit, first + w]
        else:
            ones = np.uint64(0) - (shared[bit >> 6] >> np.uint64(bit & 63) & _ONE)
            for w in range(length):
                slots[i, w] = ones


@kernel(f"void({TABLE}, int64, uint64[:, ::1], int64, int64, {SCRATCH})")
def scatter(table, slot, planes, first, length, scratch):  # type: ignore[no-untyped-def]
    """Write an expert's outputs to the state, and propose those to M; six arguments."""
    descriptors, _, places, _, code = table
    slots, rows, active, fingerprint = scratch[0], scratch[1], scratch[2], scratch[6]
    n_inputs = descriptors[slot, N_INPUTS]
    outputs = descriptors[slot, FIRST_PLACE] + n_inputs
    is_hot = code[slot] != np.uint64(0)  # machine code leaves output j in row n_inputs + j
    for j in range(descriptors[slot, N_TARGETS]):
        bit, enable = rows[n_inputs + j], places[outputs + j, ENABLE]
        value = n_inputs + j if is_hot else places[outputs + j, SLOT]
        if enable >= 0:
            enable = n_inputs + enable if is_hot else places[outputs + enable, SLOT]
        in_state = places[outputs + j, SPACE] == SPACE_STATE
        for w in range(length):
            lanes = active[w] if enable < 0 else active[w] & slots[enable, w]
            if in_state:
                old = planes[bit, first + w]
                new = (old & ~lanes) | (slots[value, w] & lanes)
                planes[bit, first + w] = new
                if fingerprint[1] != np.uint64(0):
                    fingerprint[0] += word_fingerprint(bit, first + w, new)
                    fingerprint[0] -= word_fingerprint(bit, first + w, old)
            elif lanes != np.uint64(0):
                lane = lowest_bit(lanes)
                one = slots[value, w] >> np.uint64(lane) & _ONE
                propose(bit, 64 * (first + w) + lane, np.int64(one), scratch)
                break  # later words hold higher lanes


@kernel(f"void(int64, int64, int64, {SCRATCH})")
def propose(bit, lane, value, scratch):  # type: ignore[no-untyped-def]
    """Note that a lane writes a bit of M; the lowest lane is kept, of one lane the later write.

    Proposals are found by open addressing in `Scratch.index`, 1 + number of the proposal.
    """
    proposals, index, counts = scratch[3], scratch[4], scratch[5]
    cells = np.int64(len(index)) - 1
    cell = np.int64((np.uint64(bit) * _GOLDEN) >> np.uint64(32)) & cells
    while index[cell] != 0:
        known = index[cell] - 1
        if proposals[known, P_BIT] == bit:
            if lane <= proposals[known, P_LANE]:
                proposals[known, P_LANE] = lane
                proposals[known, P_VALUE] = value
            return
        cell = (cell + 1) & cells
    n = counts[N_PROPOSALS]
    index[cell] = n + 1
    proposals[n, P_BIT] = bit
    proposals[n, P_LANE] = lane
    proposals[n, P_VALUE] = value
    proposals[n, P_INDEX] = cell
    counts[N_PROPOSALS] = n + 1


@kernel(f"void(uint64[::1], {SCRATCH})")
def commit_shared(shared, scratch):  # type: ignore[no-untyped-def]
    """Write what has been proposed to M, and forget it."""
    proposals, index, counts = scratch[3], scratch[4], scratch[5]
    for n in range(counts[N_PROPOSALS]):
        bit = proposals[n, P_BIT]
        one = _ONE << np.uint64(bit & 63)
        if proposals[n, P_VALUE] != 0:
            shared[bit >> 6] |= one
        else:
            shared[bit >> 6] &= ~one
        index[proposals[n, P_INDEX]] = 0
    counts[N_PROPOSALS] = 0


@kernel(f"void({TABLE}, int64, uint64[:, ::1], int64, uint64[::1], uint64[::1], {SCRATCH})")
def run_expert(  # type: ignore[no-untyped-def]
    table, slot, planes, words, shared, mask, scratch
):
    """Run one expert whose places have been resolved; writes to M remain proposals.

    Arguments as in `apply_expert`.
    """
    descriptors, gates, _, _, code = table
    slots, n_inputs = scratch[0], descriptors[slot, N_INPUTS]
    first_gate = descriptors[slot, FIRST_GATE]
    program = gates[first_gate : first_gate + descriptors[slot, N_GATES]]
    first = np.int64(0)
    while first < words:
        length = active_run(descriptors[slot], planes, words, mask, first, scratch[2])
        if length == 0:
            first += 1
            continue
        gather(table, slot, planes, first, length, shared, scratch)
        if code[slot] != np.uint64(0):
            pitch, start = np.int64(slots.shape[1]), np.uint64(slots.ctypes.data)
            outputs = start + np.uint64(8 * n_inputs * pitch)
            call_address(code[slot], start, outputs, pitch, pitch, length)
        else:
            run_gates(program, n_inputs, slots, length)
        scatter(table, slot, planes, first, length, scratch)
        first += length


@kernel(f"int64({TABLE}, int64, int64, uint64[::1], {SCRATCH})")
def check_expert(table, slot, n_bits, shared, scratch):  # type: ignore[no-untyped-def]
    """Resolve the places of an expert into `Scratch.rows`; 0 or a fault, its slot in the counts."""
    descriptors = table[0]
    fault = np.int64(FAULT_EXPERT)
    if 0 <= slot < np.int64(len(descriptors)) and descriptors[slot, IDENTIFIER] != 0:
        fault = resolve_expert(table, slot, n_bits, shared, scratch[1])
    if fault != 0:
        scratch[5][FAULT_SLOT] = slot
    return fault


@kernel(f"int64({TABLE}, int64, uint64[:, ::1], int64, uint64[::1], uint64[::1], {SCRATCH})")
def apply_expert(  # type: ignore[no-untyped-def]
    table, slot, planes, words, shared, mask, scratch
):
    """Apply one expert in the lanes of a mask: (s, M) -> (s', M'), in place.

    Seven arguments, being a kernel over arrays.

    Args:
        table: `ExpertTable.arrays`.
        slot: the expert.
        planes: (N, pitch) uint64, the state.
        words: words of a plane in use, at most the pitch.
        shared: (K / 64,) uint64, M.
        mask: (at least words,) uint64, the lanes that step.
        scratch: `ExpertTable.scratch`.

    Returns:
        0; or FAULT_EXPERT, FAULT_ADDRESS, and nothing has changed.
    """
    fault = check_expert(table, slot, np.int64(planes.shape[0]), shared, scratch)
    if fault == 0:
        run_expert(table, slot, planes, words, shared, mask, scratch)
        commit_shared(shared, scratch)
    return fault


@kernel(f"int64({TABLE}, int64[::1], uint64[:, ::1], int64, uint64[::1], {SCRATCH})")
def apply_lanes(  # type: ignore[no-untyped-def]
    table, choices, planes, words, shared, scratch
):
    """Apply an expert of its own in each lane, in place; lanes with equal experts run together.

    Six arguments, being a kernel over arrays.

    Args:
        table: `ExpertTable.arrays`.
        choices: (lanes,) int64, the slot of each lane's expert, -1 for a lane that does not step;
            at most 64 * words lanes.
        planes: (N, pitch) uint64, the state.
        words: words of a plane in use, at most the pitch.
        shared: (K / 64,) uint64, M.
        scratch: `ExpertTable.scratch`.

    Returns:
        0; or FAULT_EXPERT, FAULT_ADDRESS, and nothing has changed.
    """
    head, following, groups = scratch[7], scratch[8], scratch[9]
    n_experts, n_groups, fault = np.int64(len(head)), np.int64(0), np.int64(0)
    for lane in range(len(choices)):
        slot = choices[lane]
        if slot < -1 or slot >= n_experts:
            scratch[5][FAULT_SLOT] = slot
            fault = np.int64(FAULT_EXPERT)
        elif slot >= 0:
            if head[slot] < 0:
                groups[n_groups] = slot
                n_groups += 1
            following[lane] = head[slot]
            head[slot] = lane
    for g in range(n_groups):
        if fault == 0:
            fault = check_expert(table, groups[g], np.int64(planes.shape[0]), shared, scratch)
    for g in range(n_groups):
        if fault == 0:
            run_group(table, groups[g], planes, words, shared, scratch)
        head[groups[g]] = -1
    commit_shared(shared, scratch)
    return fault


@kernel(f"void({TABLE}, int64, uint64[:, ::1], int64, uint64[::1], {SCRATCH})")
def run_group(table, slot, planes, words, shared, scratch):  # type: ignore[no-untyped-def]
    """Run an expert in the lanes of its list, which starts at `head`; for `apply_lanes`."""
    following, mask = scratch[8], scratch[10]
    lane = scratch[7][slot]
    while lane >= 0:
        mask[lane >> 6] |= _ONE << np.uint64(lane & 63)
        lane = following[lane]
    resolve_expert(table, slot, np.int64(planes.shape[0]), shared, scratch[1])
    run_expert(table, slot, planes, words, shared, mask, scratch)
    lane = scratch[7][slot]
    while lane >= 0:
        mask[lane >> 6] = np.uint64(0)
        lane = following[lane]
