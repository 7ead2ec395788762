"""Decision diagrams from packed truth tables by hashing, bottom up, as a kernel.

The three lowest variables are handled by tables over all 256 functions of three variables, 8 rows
at a time; each variable above halves the array of nodes by looking up every pair of neighbours in
a hash table of that level. Nodes are numbered by variable, then by their first place in the table,
so equal functions give equal arrays.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel

LEAF_INPUTS = 3
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 over the golden ratio: Fibonacci hashing


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
def _join_pairs(level, pairs, variable, nodes, count, buckets):  # type: ignore[no-untyped-def]
    """Turn neighbours in `level` into nodes of `variable`; returns the new number of nodes.

    `buckets` holds nodes of this level by hash, 0 where it is empty; its length is a power of two
    above `pairs`.
    """
    mask = np.uint64(buckets.shape[0] - 1)
    buckets[:] = 0
    for i in range(pairs):
        low, high = level[2 * i], level[2 * i + 1]
        found = low
        if low != high:
            key = (np.uint64(low) << np.uint64(32)) | np.uint64(high)
            at = ((key * _GOLDEN) >> np.uint64(32)) & mask
            found = buckets[at]
            while found and (nodes[found - 2, 1] != low or nodes[found - 2, 2] != high):
                at = (at + np.uint64(1)) & mask
                found = buckets[at]
            if not found:
                nodes[count, 0] = np.int32(variable)
                nodes[count, 1] = low
                nodes[count, 2] = high
                found = np.int32(count + 2)
                buckets[at] = found
                count += 1
        level[i] = found
    return count


@kernel("int64(uint8[::1], int64, int32[:, ::1], int32[::1], int32[::1], int32[:, ::1])")
def build(groups, n_inputs, ids, level, buckets, nodes):  # type: ignore[no-untyped-def]
    """The shared diagram of the functions in `groups`.

    Args:
        groups: the tables, 8 rows to a byte, one function after the other; for less than 3
            inputs a byte is a function.
        n_inputs: number of inputs of each function.
        ids: (4, 256) int32, scratch.
        level: (len(groups),) int32; begins with the root of each function afterwards.
        buckets: int32, scratch; its length is a power of two, at least len(groups).
        nodes: (len(groups) + 278, 3) int32, written.

    Returns:
        The number of nodes.
    """
    leaf = min(n_inputs, LEAF_INPUTS)
    count = _leaf_nodes(groups, leaf, ids, nodes)
    pairs = groups.shape[0]
    for i in range(pairs):
        level[i] = ids[leaf, groups[i]]
    size = buckets.shape[0]
    for variable in range(leaf, n_inputs):
        pairs >>= 1
        while size >= 4 * pairs and size > 1:
            size >>= 1
        count = _join_pairs(level, pairs, variable, nodes, count, buckets[:size])
    return count


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
