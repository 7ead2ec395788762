"""Learned actions for a machine: one patch that adds all their experts.

The patch is like any other: where the machine keeps invariants, `verify` has to prove that the
learned experts keep them, and `apply` wants the certificate.

Source: BEM core spec 8.3, 9.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bem_kernel.errors import LearningError
from bem_kernel.experts.expert import Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import encode_words
from bem_kernel.patches.patch import Entry, Kind, Patch
from bem_kernel.patches.propose import Provenance, drafted, free_near


def propose_actions(
    table: ExpertTable,
    experts: Sequence[Expert],
    *,
    near: int | None = None,
    reason: str,
    provenance: Provenance = (("by", "action models"),),
) -> Patch:
    """Propose to add the experts of learned actions.

    Args:
        table: of the machine.
        experts: such as `learned_program(models).experts`, or templates bound to slots.
        near: an identifier of class `expert`, near which they should lie; None: the first one's.
        reason: why.
        provenance: from whom.

    Raises:
        LearningError: there is no expert.
        KernelError: one does not fit the machine, or there is no room.
    """
    if not experts:
        raise LearningError("no expert", where="learned actions", fix="learn an action first")
    if near is None:
        near = int(encode_words(IdClass.EXPERT, np.zeros(1, np.int64), np.zeros(1, np.int64))[0])
    words = free_near(table, near, len(experts))
    entries = [Entry(word, expert) for word, expert in zip(words, experts, strict=True)]
    patch = Patch(Kind.ADD, "", "", reason, provenance, added=tuple(entries))
    return drafted(table, patch)
