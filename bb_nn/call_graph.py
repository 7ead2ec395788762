"""The call-graph head: a distribution over the graph of the plan, at any position of a sequence.

Slots are the steps of the plan, in order. A small recurrent reader, the same for all slots, looks
at what the rail has seen up to the position and says of its slot: whether there is such a step,
which tool it calls, and for each reference that a call may have which earlier slot it means, if
any. So edges go from earlier to later slots and graphs are acyclic by construction, whatever the
weights; and as the reader is shared, a plan longer than any in training costs no parameter.

    q_0   = W_0 h_t + s_0                   the state at the position begins the reading
    r_i   = Σ_{u≤t} softmax(q_i·k_u + move(q_i, u − μ_{i−1})) v_u    a look at the sequence so far
    q_i+1 = GRU(r_i, q_i)                   μ_i is where slot i looked, on the mean
    P(n, y, ρ) = P(n) Π_{i<n} P(y_i) Π_{a < arity(y_i)} P(ρ_ia),    ρ_ia ∈ {none, 0 … i−1}

n is the number of steps, y_i a tool, ρ_ia the slot that reference a of slot i means. All factors
are independent given the reading, so the likeliest graph is found exactly (`likeliest`), limits on
how many steps of some kinds there may be included.

B batch, T time, D width of the states, P positions, K slots, A references of a slot, R rank.

Sources: builderbrain 1 (G_t); Vinyals, Fortunato, Jaitly: Pointer Networks, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bb_core.errors import BBError
from bb_core.plan import MAX_STEPS, step_id

NEVER = -16.0
"""Log-odds of an edge that cannot be: finite, so that a loss that asks for one stays finite."""

_TINY = 1e-7
_REACH = 4.0  # positions: the unit in which the reader moves
_LOOSE = -2.0  # begins with little preference for what is near


class CallGraphError(BBError):
    """A call-graph head that cannot be, or states that do not fit it."""


@dataclass(frozen=True)
class AtMost:
    """A limit on the steps of a plan.

    Attributes:
        tools: numbers of the tools that count.
        steps: most calls of them together.
    """

    tools: frozenset[int]
    steps: int


@dataclass(frozen=True)
class GraphRules:
    """What a graph of a domain's plans may be.

    Attributes:
        tools: names.
        arity: references that a call of each tool has at most.
        slots: K, most steps of a plan.
        at_most: further limits.
    """

    tools: tuple[str, ...]
    arity: tuple[int, ...]
    slots: int = MAX_STEPS
    at_most: tuple[AtMost, ...] = field(default=())

    def __post_init__(self) -> None:
        fits = len(self.arity) == len(self.tools) > 0 and min(self.arity) >= 0
        if not fits or not 1 <= self.slots <= MAX_STEPS:
            raise CallGraphError(
                f"{len(self.tools)} tools, arities {self.arity}, {self.slots} slots",
                where="call graph", fix=f"give an arity for each tool, and 1 to {MAX_STEPS} slots",
            )  # fmt: skip
        for limit in self.at_most:
            known = all(0 <= tool < len(self.tools) for tool in limit.tools)
            if limit.steps < 0 or not known:
                raise CallGraphError(
                    f"at most {limit.steps} of tools {sorted(limit.tools)}", where="call graph",
                    fix=f"use 0 or more, and tools from 0 to {len(self.tools) - 1}",
                )  # fmt: skip

    @property
    def references(self) -> int:
        """A, most references of a slot."""
        return max((1, *self.arity))


@dataclass(frozen=True)
class LatentDag:
    """Distributions of graphs; leading axes, written …, are the caller's.

    Attributes:
        count: (…, K + 1) log-chance of each number of steps.
        tools: (…, K, tools) log-chances of the tool, given that there is the step.
        references: (…, K, A, K + 1) log-chances of what each reference means, given a tool that has
            it: nothing first, then slot after slot; -inf from the slot itself on.
        labels: (…, K, tools + 1) log-chances of no step, then of each tool: what `g2g_loss` reads.
        edges: (…, K, K) log-odds that the later of two steps refers to the earlier one, given that
            both are steps: what `g2g_loss` reads. `NEVER` where the first is not the earlier.
    """

    count: Tensor
    tools: Tensor
    references: Tensor
    labels: Tensor
    edges: Tensor

    def at(self, *index: object) -> LatentDag:
        """The same for an index into the leading axes."""
        return LatentDag(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class CallGraphHead(nn.Module):
    """Reads the graph of the plan from the builder rail's states.

    Args:
        width: D.
        rules: tools, references and slots.
        rank: R, width of the reader.
    """

    arity: Tensor

    def __init__(self, width: int, rules: GraphRules, rank: int = 32) -> None:
        super().__init__()
        self.rules, self.rank = rules, rank
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.look = nn.Linear(width, 2 * rank, bias=False)
        self.begin = nn.Linear(width, rank)
        self.query = nn.Linear(rank, rank, bias=False)
        self.move = nn.Linear(rank, 2)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)
        self.cell = nn.GRUCell(rank, rank)
        self.more = nn.Linear(rank, 1)
        self.tool = nn.Linear(rank, len(rules.tools))
        self.refers = nn.Linear(rank, rules.references * (rank + 1))
        self.meant = nn.Linear(rank, rank, bias=False)
        self.register_buffer("arity", torch.tensor(rules.arity), persistent=False)

    def forward(self, states: Tensor, present: Tensor, columns: Tensor) -> LatentDag:
        """Graphs at some positions of each sequence.

        Args:
            states: (B, T, D) of the rail.
            present: (B, T) bool, False at padding.
            columns: (B, P) int64 positions; a graph depends on the positions up to its own.

        Returns:
            A distribution with leading axes (B, P).
        """
        if states.dim() != 3 or present.shape != states.shape[:2] or columns.dim() != 2:
            raise CallGraphError(
                f"states {tuple(states.shape)}, present {tuple(present.shape)}, columns "
                f"{tuple(columns.shape)}", where="call graph",
                fix="give (B, T, D), (B, T) and (B, P)",
            )  # fmt: skip
        read = self._read(self.norm(states.to(self.look.weight.dtype)), present, columns)
        more = self.more(read)[..., 0].float()
        log_more, log_end = F.logsigmoid(more), F.logsigmoid(-more)
        reached = log_more.cumsum(-1).clamp(max=-_TINY)
        count = torch.cat([log_end, torch.zeros_like(log_end[..., :1])], -1)
        count = count + F.pad(log_more.cumsum(-1), (1, 0))
        tools = self.tool(read).float().log_softmax(-1)
        absent = torch.log(-torch.expm1(reached))
        labels = torch.cat([absent[..., None], reached[..., None] + tools], dim=-1)
        references = self._references(read)
        return LatentDag(count, tools, references, labels, self._edges(tools, references))

    def _read(self, states: Tensor, present: Tensor, columns: Tensor) -> Tensor:
        """(B, P, K, R) one state of the reader for each slot."""
        keys, values = self.look(states).chunk(2, dim=-1)
        here = states.gather(1, columns[..., None].expand(-1, -1, states.shape[-1]))
        time = torch.arange(states.shape[1], device=states.device)
        seen = (time <= columns[..., None]) & present[:, None, :]
        state, middle = self.begin(here), columns.new_zeros(*columns.shape, 1)
        found = []
        for _ in range(self.rules.slots):
            away = (time - middle) / _REACH
            ahead, near = self.move(state).split(1, dim=-1)
            scores = self.query(state) @ keys.transpose(1, 2) * self.rank**-0.5
            scores = scores + ahead * away.tanh() - F.softplus(near + _LOOSE) * away.abs()
            weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)
            middle = (weights * time).sum(-1, keepdim=True)
            look = (weights.to(values.dtype) @ values).flatten(0, 1)
            state = self.cell(look, state.flatten(0, 1)).view_as(state)
            found.append(state)
        return torch.stack(found, dim=2)

    def _references(self, read: Tensor) -> Tensor:
        """(B, P, K, A, K + 1) log-chances."""
        shape = (self.rules.references, self.rank + 1)
        asked, nothing = self.refers(read).unflatten(-1, shape).split([self.rank, 1], dim=-1)
        scores = asked @ self.meant(read)[:, :, None].transpose(-1, -2) * self.rank**-0.5
        slots = torch.arange(self.rules.slots, device=read.device)
        later = slots[None, :] >= slots[:, None]
        scores = scores.masked_fill(later[:, None, :], -torch.inf)
        return torch.cat([nothing, scores], dim=-1).float().log_softmax(-1)

    def _edges(self, tools: Tensor, references: Tensor) -> Tensor:
        """(…, K, K) log-odds that any reference of the later slot means the earlier one."""
        missed = torch.log1p(-references[..., 1:].exp().clamp(max=1 - _TINY))
        missed = F.pad(missed.cumsum(-2), (0, 0, 1, 0))  # (…, later, references so far, earlier)
        by_tool = missed.index_select(-2, self.arity)
        none = torch.logsumexp(tools[..., None] + by_tool, dim=-2)  # (…, later, earlier)
        none = none.clamp(max=0.0)
        odds = torch.log(-torch.expm1(none.clamp(max=-_TINY))) - none
        slots = torch.arange(self.rules.slots, device=tools.device)
        later = slots[None, :] >= slots[:, None]
        return odds.masked_fill(later, NEVER).transpose(-1, -2)


_Plans = dict[tuple[int, ...], tuple[float, tuple[int, ...]]]
"""By how much of each limit is used up: the best score, and its tools."""


def likeliest(latent: LatentDag, rules: GraphRules) -> nx.DiGraph:
    """The likeliest of all graphs that the rules allow; exact, by dynamic programming.

    Slot after slot, the best way to have used up each part of the limits is kept.

    Args:
        latent: of one graph: no leading axes.
        rules: of the head.

    Returns:
        As from `bb_train.objectives.graphs.skeleton`: nodes have `tool` and no `args`, edges no
        uses.
    """
    count, tools = latent.count.tolist(), latent.tools.tolist()
    best, meant = latent.references.max(-1)
    scores, targets = best.tolist(), meant.tolist()
    plans: _Plans = {(0,) * len(rules.at_most): (0.0, ())}
    chosen: tuple[int, ...] = ()
    top = count[0]
    for slot in range(rules.slots):
        worth = [
            tools[slot][tool] + sum(scores[slot][: rules.arity[tool]])
            for tool in range(len(rules.tools))
        ]
        plans = _extended(plans, worth, rules)
        for score, labels in plans.values():
            if score + count[slot + 1] > top:
                top, chosen = score + count[slot + 1], labels
    return _graph(chosen, targets, rules)


def _extended(plans: _Plans, worth: Sequence[float], rules: GraphRules) -> _Plans:
    """All plans that are one step longer, the best for each use of the limits."""
    found: _Plans = {}
    for used, (score, labels) in plans.items():
        for tool, more in enumerate(worth):
            now = tuple(
                u + (tool in limit.tools) for u, limit in zip(used, rules.at_most, strict=True)
            )
            if any(u > limit.steps for u, limit in zip(now, rules.at_most, strict=True)):
                continue
            if now not in found or score + more > found[now][0]:
                found[now] = (score + more, (*labels, tool))
    return found


def _graph(
    labels: Sequence[int], targets: Sequence[Sequence[int]], rules: GraphRules
) -> nx.DiGraph:
    graph = nx.DiGraph()
    for slot, tool in enumerate(labels):
        graph.add_node(step_id(slot), tool=rules.tools[tool], args={})
    for slot, tool in enumerate(labels):
        for target in targets[slot][: rules.arity[tool]]:
            if target:
                graph.add_edge(step_id(target - 1), step_id(slot), kind="edge", uses=())
    return graph
