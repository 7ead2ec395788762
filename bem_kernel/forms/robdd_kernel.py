"""Decision diagrams from packed truth tables by hashing, as kernels.

Within words from the top down: equal words are found first, then equal halves of the different
words, then equal halves of the different halves, so that what recurs is done once. The three lowest
variables are handled by tables over all 256 functions of three variables. Different functions have
different pairs of children, so nodes within words need no look-up at all. Each variable above
halves an array of nodes by looking up every pair of neighbours in a hash table of that level.
Nodes are numbered by variable, then by their first place in the tables (those of the three lowest
variables by their values), so equal functions give equal arrays.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.forms.table_kernel import tabulate, words_for_inputs

LEAF_NODES = 256
"""More than the nodes of all functions of three variables."""
_LEAF_INPUTS, _WORD_INPUTS = 3, 6
_ONE, _TWO = np.uint64(1), np.uint64(2)
_ROWS = _WORD_INPUTS - _LEAF_INPUTS + 1
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 over the golden ratio: Fibonacci hashing


@kernel("int64(int64)")
def _buckets_for(count):  # type: ignore[no-untyped-def]
    """A power of two, at least twice `count`."""
    size = np.int64(2)
    while size < 2 * count:
        size *= 2
    return size


@kernel("int64(uint64[::1], int64, int64, int32[::1], uint64[::1], int32[::1])")
def _number(wholes, parts, bits, index, different, memory):  # type: ignore[no-untyped-def]
    """Number the different values among the words, or among their halves, as they appear.

    Args:
        wholes: (k,) uint64.
        parts: 1 for the words themselves, 2 for their halves, the low one first.
        bits: of a half.
        index: (parts * k or more,) int32, written: the number of each value.
        different: (parts * k or more,) uint64, written: the value of each number.
        memory: its first part becomes a hash table.

    Returns:
        How many different values there are.
    """
    shift = np.int64(parts - 1)
    total = wholes.shape[0] << shift
    size = _buckets_for(total)
    for i in range(size):
        memory[i] = 0
    mask = np.uint64(size - 1)
    keep = ~np.uint64(0) if parts == 1 else (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    count = np.int64(0)
    for i in range(total):
        value = (wholes[i >> shift] >> np.uint64((i & shift) * bits)) & keep
        mixed = value * _GOLDEN
        at = (mixed ^ (mixed >> np.uint64(32))) & mask
        found = np.uint64(memory[at])  # unsigned: no test for positions from the end
        while found and different[found - _ONE] != value:
            at = (at + _ONE) & mask
            found = np.uint64(memory[at])
        if not found:
            different[count] = value
            count += 1
            found = np.uint64(count)
            memory[at] = np.int32(count)
        index[i] = np.int32(found - _ONE)
    return count


@kernel("int64(uint8[::1], int64, int32[:, ::1], int32[:, ::1])")
def _leaf_nodes(groups, inputs, ids, nodes):  # type: ignore[no-untyped-def]
    """Nodes of the variables below `inputs`, at most 3, for the functions in `groups`.

    Args:
        groups: functions of `inputs` variables, by their values as bits.
        inputs: number of variables.
        ids: (4, 256) int32, written: the node of each function of 0 to 3 variables that occurs.
        nodes: rows (variable, low, high), written from row 0 on.

    Returns:
        The number of nodes.
    """
    ids[:] = 0
    for i in range(groups.shape[0]):
        ids[inputs, groups[i]] = 1  # 1 for now: it occurs
    for level in range(inputs, 0, -1):
        bits = np.int64(1) << (level - 1)
        for f in range(np.int64(1) << (2 * bits)):
            if ids[level, f]:
                ids[level - 1, f & ((np.int64(1) << bits) - 1)] = 1
                ids[level - 1, f >> bits] = 1
    ids[0, 0] = 0
    ids[0, 1] = 1
    count = 0
    for level in range(1, inputs + 1):
        bits = np.int64(1) << (level - 1)
        for f in range(np.int64(1) << (2 * bits)):
            if ids[level, f]:
                low = ids[level - 1, f & ((np.int64(1) << bits) - 1)]
                high = ids[level - 1, f >> bits]
                ids[level, f] = low
                if low != high:
                    nodes[count, 0] = np.int32(level - 1)
                    nodes[count, 1] = low
                    nodes[count, 2] = high
                    ids[level, f] = np.int32(count + 2)
                    count += 1
    return count


@kernel("int64(int32[::1], int64, int64, int32[:, ::1], int64, int32[::1])")
def _join_pairs(level, pairs, variable, nodes, count, memory):  # type: ignore[no-untyped-def]
    """Turn neighbours in `level` into nodes of `variable`; returns the new number of nodes.

    The first part of `memory` becomes the hash table of this level: nodes, 0 where it is empty.
    """
    buckets = memory[: _buckets_for(pairs)]
    mask = np.uint64(buckets.shape[0] - 1)
    buckets[:] = 0
    for i in range(pairs):
        low, high = level[2 * i], level[2 * i + 1]
        found = low
        if low != high:
            key = (np.uint64(low) << np.uint64(32)) | np.uint64(high)
            at = ((key * _GOLDEN) >> np.uint64(32)) & mask
            row = np.uint64(buckets[at])
            while row and (nodes[row - _TWO, 1] != low or nodes[row - _TWO, 2] != high):
                at = (at + _ONE) & mask
                row = np.uint64(buckets[at])
            found = np.int32(row)
            if not row:
                nodes[count, 0] = np.int32(variable)
                nodes[count, 1] = low
                nodes[count, 2] = high
                found = np.int32(count + 2)
                buckets[at] = found
                count += 1
        level[i] = found
    return count


@kernel("int64(uint64[::1], int64, int32[:, ::1], int32[::1])", allocates=True)
def _nodes_in_words(words, n_inputs, nodes, level):  # type: ignore[no-untyped-def]
    """The nodes of the variables within words.

    Args:
        words: (k,) uint64, the words of the table, function after function.
        n_inputs: number of inputs of each function.
        nodes: (LEAF_NODES + 7 k, 3) int32 or more rows, written from row 0 on.
        level: (k,) int32, written: the node of each word.

    Returns:
        The number of nodes.
    """
    leaf, inner = min(n_inputs, _LEAF_INPUTS), min(n_inputs, _WORD_INPUTS)
    k = words.shape[0]
    memory = np.empty(_buckets_for(k), dtype=np.int32)
    of_word = np.empty(k, dtype=np.int32)
    different = np.empty(k, dtype=np.uint64)
    parts, wholes = 1, words
    if inner > leaf:
        parts, wholes = 2, different[: _number(words, 1, 64, of_word, different, memory)]
    # Below the words there are at most so many parts; small arrays, since large ones cost more to
    # get from the system than to fill.
    most = wholes.shape[0] << max(inner - leaf - 1, 1)
    values = np.empty((_ROWS, most), dtype=np.uint64)  # row v - 3: functions of v variables
    index = np.empty((_ROWS, most), dtype=np.int32)
    counts = np.zeros(_ROWS + 1, dtype=np.int64)
    counts[inner - _LEAF_INPUTS] = wholes.shape[0] if inner > leaf else 0
    memory = np.empty(_buckets_for(most), dtype=np.int32)
    for v in range(inner - 1, leaf, -1):
        row = v - _LEAF_INPUTS
        bits = np.int64(1) << v
        counts[row] = _number(wholes, 2, bits, index[row], values[row], memory)
        wholes = values[row, : counts[row]]
    groups = np.empty(parts * wholes.shape[0], dtype=np.uint8)
    for i in range(groups.shape[0]):
        half = np.uint64(8 * (i & (parts - 1)))
        groups[i] = np.uint8((wholes[i >> (parts - 1)] >> half) & np.uint64(255))
    leaves = np.empty((_LEAF_INPUTS + 1, LEAF_NODES), dtype=np.int32)
    count = _leaf_nodes(groups, leaf, leaves, nodes)
    below = np.empty(max(most, groups.shape[0]), dtype=np.int32)
    ids = np.empty(most, dtype=np.int32)
    for i in range(groups.shape[0]):
        below[i] = leaves[leaf, groups[i]]
    for v in range(leaf + 1, inner + 1):
        row = v - _LEAF_INPUTS
        for i in range(counts[row]):
            low, high = below[2 * i], below[2 * i + 1]
            ids[i] = low
            if low != high:
                nodes[count, 0] = np.int32(v - 1)
                nodes[count, 1] = low
                nodes[count, 2] = high
                ids[i] = np.int32(count + 2)
                count += 1
        if v < inner:
            for i in range(2 * counts[row + 1]):
                below[i] = ids[index[row, i]]
    for i in range(k):
        level[i] = ids[of_word[i]] if inner > leaf else below[i]
    return count


@kernel("int64(uint64[::1], int64, int32[:, ::1], int32[::1])", allocates=True)
def diagram_of_words(words, n_inputs, nodes, roots):  # type: ignore[no-untyped-def]
    """The shared diagram of the functions of a packed table.

    Args:
        words: (k,) uint64, the words of the table, function after function.
        n_inputs: number of inputs.
        nodes: (LEAF_NODES + 8 k, 3) int32, written.
        roots: (m,) int32, written.

    Returns:
        The number of nodes.
    """
    level = np.empty(words.shape[0], dtype=np.int32)
    count = _nodes_in_words(words, n_inputs, nodes, level)
    memory = np.empty(_buckets_for(words.shape[0]), dtype=np.int32)
    pairs = words.shape[0]
    for variable in range(_WORD_INPUTS, n_inputs):
        pairs >>= 1
        count = _join_pairs(level, pairs, variable, nodes, count, memory)
    for j in range(roots.shape[0]):
        roots[j] = level[j]
    return count


@kernel("int64(int32[:, ::1], int64, int64[::1], int32[:, ::1], int32[::1])", allocates=True)
def diagram_of_gates(gates, n_inputs, outputs, nodes, roots):  # type: ignore[no-untyped-def]
    """The shared diagram of packed gates: `tabulate` and `diagram_of_words` in one call."""
    words = np.empty(outputs.shape[0] * words_for_inputs(n_inputs), dtype=np.uint64)
    tabulate(gates, n_inputs, outputs, words)
    return diagram_of_words(words, n_inputs, nodes, roots)


@kernel("int64(int32[:, ::1], int32[::1], int64)")
def first_bad(nodes, roots, n_inputs):  # type: ignore[no-untyped-def]
    """Check that a diagram is ordered and that no node has equal children.

    Returns:
        The row of the first bad node, else len(nodes) + the first bad root, else -1.
    """
    k = nodes.shape[0]
    for i in range(k):
        variable, low, high = nodes[i, 0], nodes[i, 1], nodes[i, 2]
        if not 0 <= variable < n_inputs or low == high:
            return i
        for child in (low, high):
            if not 0 <= child < i + 2 or (child > 1 and nodes[child - 2, 0] >= variable):
                return i
    for j in range(roots.shape[0]):
        if not 0 <= roots[j] < k + 2:
            return k + j
    return -1
