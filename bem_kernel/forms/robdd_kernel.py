"""Decision diagrams from packed truth tables by hashing, bottom up, as kernels.

Equal words of the tables are found first, so that what lies within a word is done once for each
different word. There, the three lowest variables are handled by tables over all 256 functions of
three variables. Each variable above halves an array of nodes by looking up every pair of
neighbours in a hash table of that level. Nodes are numbered by variable, then by their first place
in the tables (those of the three lowest variables by their values), so equal functions give equal
arrays.
"""

from __future__ import annotations

import numpy as np

from bem_kernel.compiled import kernel
from bem_kernel.forms.table_kernel import tabulate, words_for_inputs

LEAF_NODES = 256
"""More than the nodes of all functions of three variables."""
_LEAF_INPUTS, _WORD_INPUTS = 3, 6
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2**64 over the golden ratio: Fibonacci hashing


@kernel("int64(int64)")
def _buckets_for(count):  # type: ignore[no-untyped-def]
    """A power of two, at least twice `count`."""
    size = np.int64(2)
    while size < 2 * count:
        size *= 2
    return size


@kernel("int64(uint64[::1], int32[::1], uint64[::1])", allocates=True)
def _find_words(words, index, different):  # type: ignore[no-untyped-def]
    """Number the different words in order of first appearance.

    Args:
        words: (k,) uint64.
        index: (k,) int32, written: the number of each word.
        different: (k,) uint64, written: the word of each number.

    Returns:
        How many different words there are.
    """
    buckets = np.zeros(_buckets_for(words.shape[0]), dtype=np.int32)
    mask = np.uint64(buckets.shape[0] - 1)
    count = 0
    for i in range(words.shape[0]):
        word = words[i]
        mixed = word * _GOLDEN
        at = (mixed ^ (mixed >> np.uint64(32))) & mask
        found = buckets[at]
        while found and different[found - 1] != word:
            at = (at + np.uint64(1)) & mask
            found = buckets[at]
        if not found:
            different[count] = word
            count += 1
            found = np.int32(count)
            buckets[at] = found
        index[i] = found - np.int32(1)
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


@kernel("int64(uint64[::1], int32[::1], int64, int32[:, ::1])", allocates=True)
def _build(different, level, n_inputs, nodes):  # type: ignore[no-untyped-def]
    """The shared diagram of functions whose words have been numbered by `_find_words`.

    Args:
        different: (d,) uint64, the different words.
        level: (k,) int32, the number of each word, function after function; begins with the root
            of each function afterwards.
        n_inputs: number of inputs of each function.
        nodes: (LEAF_NODES + 7 d + k, 3) int32, written.

    Returns:
        The number of nodes.
    """
    leaf, inner = min(n_inputs, _LEAF_INPUTS), min(n_inputs, _WORD_INPUTS)
    per_word = np.int64(1) << (inner - leaf)
    groups = np.empty(different.shape[0] * per_word, dtype=np.uint8)
    for i in range(different.shape[0]):
        for j in range(per_word):
            groups[i * per_word + j] = np.uint8((different[i] >> np.uint64(8 * j)) & np.uint64(255))
    ids = np.empty((_LEAF_INPUTS + 1, LEAF_NODES), dtype=np.int32)
    count = _leaf_nodes(groups, leaf, ids, nodes)
    in_words = np.empty(groups.shape[0], dtype=np.int32)
    for i in range(groups.shape[0]):
        in_words[i] = ids[leaf, groups[i]]
    pairs = groups.shape[0]
    memory = np.empty(_buckets_for(max(pairs, level.shape[0])), dtype=np.int32)
    for variable in range(leaf, inner):
        pairs >>= 1
        count = _join_pairs(in_words, pairs, variable, nodes, count, memory)
    for i in range(level.shape[0]):
        level[i] = in_words[level[i]]
    pairs = level.shape[0]
    for variable in range(inner, n_inputs):
        pairs >>= 1
        count = _join_pairs(level, pairs, variable, nodes, count, memory)
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
    different = np.empty(words.shape[0], dtype=np.uint64)
    found = _find_words(words, level, different)
    count = _build(different[:found], level, n_inputs, nodes)
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
