"""The whole machine: a memory with experts, a policy that learns which to choose, and a log.

    memory = Memory(MachineConfig(n_bits=4))
    machine = ExpertMachine(memory, bits=("asked", "known", "said", "good"))
    machine.define("say what is known", {"said": "asked & known"})

Its builder adds experts. The first run seals the table: from then on the machine changes only by
patches that are proved (`patches.apply`).

Runs are deterministic: the same memory, key and world give the same steps, and a machine that is
saved and loaded goes on as if it had not stopped.

Source: BEM core spec 6-8, 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bem_kernel.errors import RunnerError
from bem_kernel.experts.expert import Expert, expert_from_expressions
from bem_kernel.experts.table import ExpertTable
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.gray import sim
from bem_kernel.identifiers.ident import LOCAL_BITS, decode, encode_words
from bem_kernel.memory.memory import Memory
from bem_kernel.runner.arrays import RunnerArrays
from bem_kernel.runner.config import RunnerConfig
from bem_kernel.runner.layout import STEP, TOTAL_LOSS_Q16
from bem_kernel.runner.observation import observe
from bem_kernel.runner.query import query_for

if TYPE_CHECKING:
    from bem_kernel.ledger.chain import Ledger
    from bem_kernel.runner.episode import Checkpoint, EpisodeReport
    from bem_kernel.runner.world import World


@dataclass(frozen=True)
class Standing:
    """How an expert stands with the policy.

    Attributes:
        name: of the expert.
        identifier: of the expert.
        wins: choices that were rewarded above the middle of the range.
        visits: choices.
        weight_q16: relative to the best expert, which has 65536; 0 is less than half of 1 / 65536,
            though the policy never lets a weight become 0.
    """

    name: str
    identifier: int
    wins: int
    visits: int
    weight_q16: int


class ExpertMachine:
    """Experts in a memory, and the policy that chooses among them.

    Attributes:
        memory: state, shared memory, and all that an image keeps.
        table: the experts.
        config: the runner's settings.
        bits: state bit by name.
        arrays: what the kernels work on.
        journal: of the log; None without one.
        hooks: called with the machine after each update of the policy, on the mid path: the place
            to offer work to a `SlowPath` and to collect what is done, such as proofs of patches to
            apply. The run waits for a hook, so it returns at once.

    Args:
        memory: new, or loaded from an image; then `config` is the one it was made with.
        config: how the machine observes, chooses and learns.
        bits: names of state bits 0, 1, 2 …, for experts given as text.
        log: an open ledger of the machine's own; None logs nothing.

    Raises:
        RunnerError: a setting does not fit the memory, or the log is another machine's.
        KernelError: the memory is too small for the table, or damaged.
    """

    def __init__(
        self,
        memory: Memory,
        config: RunnerConfig | None = None,
        *,
        bits: Sequence[str] = (),
        log: Ledger | None = None,
    ) -> None:
        self.memory = memory
        self.config = config or RunnerConfig()
        self.bits = _numbered(bits, memory.config.n_bits)
        # The table takes what room EXPERT has; the runner's regions lie in SHARED and TRACE.
        self.table = ExpertTable(memory)
        self.arrays = RunnerArrays(self.table, self.config)
        self.hooks: list[Callable[[ExpertMachine], object]] = []
        self.journal = None
        if log is not None:
            from bem_kernel.runner.journal import Journal

            self.journal = Journal(log, self.arrays.clock)

    @property
    def steps(self) -> int:
        """Steps taken since the machine was made."""
        return int(self.arrays.clock[STEP])

    def add(self, expert: Expert, *, at: int | None = None, findable: bool = True) -> int:
        """Enter an expert.

        Args:
            expert: any that fits the memory.
            at: an observation that should find it first; None: wherever there is room.
            findable: whether the policy may choose it; False for a world's expert.

        Returns:
            Its identifier.

        Raises:
            ExpertError: it does not fit, the table has no room for it, or the machine has run.
            IdentifierError: all slots are taken.
        """
        self.table.check_open()
        identifier = None if at is None else self._free_near(query_for(self.config.query, at))
        word = self.table.add(expert, identifier, findable=findable)
        self.arrays.forget(self.table.slots.slot(word))
        self._note("add", word, expert.name)
        return word

    def define(
        self,
        name: str,
        assignments: Mapping[str, str],
        *,
        at: int | None = None,
        findable: bool = True,
    ) -> int:
        """Enter an expert given as text: target bit <- expression over the state before.

        Args:
            name: of the expert.
            assignments: expression by target, in the names of `bits`.
            at: as in `add`.
            findable: as in `add`.

        Raises:
            ExpressionError: an expression does not parse or names an unknown bit.
            ExpertError, IdentifierError: as in `add`.
        """
        return self.add(
            expert_from_expressions(name, assignments, self.bits), at=at, findable=findable
        )

    def retire(self, identifier: int) -> None:
        """Take an expert out.

        Raises:
            ExpertError: the machine has run.
            IdentifierError: it is not in the table.
        """
        slot = self.table.slots.slot(identifier)
        name = self.table.expert(identifier).name
        self.table.retire(identifier)
        self.arrays.forget(slot)
        self._note("retire", identifier, name)

    def run(
        self,
        world: World,
        steps: int,
        *,
        progress: Callable[[int], object] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> EpisodeReport:
        """Play an episode, and learn from it; see `episode.run_episode`. It seals the table."""
        from bem_kernel.runner.episode import run_episode

        self.table.seal()
        return run_episode(self, world, steps, progress=progress, checkpoint=checkpoint)

    def learn(self) -> None:
        """Use up the rows of the trace that wait, which a run does every few steps by itself."""
        from bem_kernel.runner.episode import update

        update(self)

    def standings(self) -> tuple[Standing, ...]:
        """The experts that the policy may choose, the heaviest first; of equals, by slot."""
        from bem_kernel.policy.exp2 import exp2_q16

        slots = np.flatnonzero(self.table.live)
        duals = self.table.duals_q16[slots]
        weights = exp2_q16(duals - duals.min()) if len(slots) else duals
        order = np.argsort(duals, kind="stable")
        return tuple(self._standing(int(slots[i]), int(weights[i])) for i in order)

    def _standing(self, slot: int, weight_q16: int) -> Standing:
        identifier = int(self.table.slots.identifiers[slot])
        statistics = self.table.statistics(identifier)
        return Standing(
            self.table.expert(identifier).name,
            identifier,
            statistics.wins,
            statistics.visits,
            weight_q16,
        )

    def observation(self, lane: int = 0) -> int:
        """What a lane sees now."""
        planes, active = self.memory.planes, self.arrays.state[2]
        return observe(self.config.observation, planes, self.memory.shared_bits, active, lane)

    def candidates(self, observation: int | None = None) -> tuple[int, ...]:
        """Identifiers of the experts that compete at an observation, the nearest first.

        Args:
            observation: 64 bits; None: what lane 0 sees now.
        """
        from bem_kernel.runner.fast_path import find_candidates

        seen = self.observation() if observation is None else observation
        machine = self.arrays.machine()
        count = find_candidates(np.uint64(seen), machine[3], machine[5], machine[7])
        words = self.table.slots.identifiers[machine[5][0][:count]]
        return tuple(int(word) for word in words)

    def regret_q16(self) -> int:
        """Losses so far, less what the best expert is estimated to have lost in all steps, Q16.

        The estimate is the sum of IX charges; it is the policy's own, and fair only to experts
        that were candidates from the beginning.
        """
        live = self.table.live != 0
        best = int(self.arrays.charges_q16[live].min()) if live.any() else 0
        return int(self.arrays.clock[TOTAL_LOSS_Q16]) - best

    def save(self, path: str | Path) -> str:
        """Write an image of the memory, all or nothing, and return its Merkle root, hex.

        Raises:
            ImageError: it cannot be written.
        """
        from bem_kernel.memory.image import save_image

        if self.journal is not None:
            self.journal.commit()
        return save_image(self.memory, path)

    def _free_near(self, query: int) -> int:
        """The identifier nearest to a query, in its shard, that no expert has."""
        shard = decode(query).identifier.shard
        locals_ = np.arange(1 << LOCAL_BITS)
        words = encode_words(IdClass.EXPERT, np.full_like(locals_, shard), locals_)
        free = words[~np.isin(words, self.table.slots.identifiers)]
        if not len(free):
            raise RunnerError(f"shard {shard} is full", where="machine", fix="use another shard")
        return int(free[sim(np.array([query], dtype=np.uint32), free).argmax()])

    def _note(self, action: str, identifier: int, name: str) -> None:
        if self.journal is not None:
            entry: dict[str, Any] = {"kind": action, "identifier": identifier, "name": name}
            self.journal.write(entry)


def _numbered(names: Sequence[str], n_bits: int) -> dict[str, int]:
    numbered = {name: bit for bit, name in enumerate(names)}
    if len(numbered) < len(names) or len(names) > n_bits:
        raise RunnerError(
            f"{len(names)} names for {n_bits} bits, {len(numbered)} of them different",
            where="machine",
            fix="name each bit once",
        )
    return numbered
