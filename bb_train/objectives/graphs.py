"""`g2g_loss`: how far a latent plan graph is from the graph of the plan.

A latent graph is a distribution: for each of K slots over tools (and "no step"), for each ordered
pair of slots the chance of an edge if both are steps, all independent. A plan's graph has a tool at
each node, and edges; which slot stands for which node is not given, so slots are matched to nodes
first. Under a matching π the expected number of edits is exact and differentiable: with e_ij the
chance that the edge is there, both its ends included,

    Σ_i (1 − p_i(label of π(i)))  +  Σ_ij |e_ij − A_π(i)π(j)|

and, whatever π is, this is at least the expected graph edit distance, because π is one of the edit
paths that the distance is a minimum over; π is the one with the fewest expected edits that
`assignment` finds. The value is this, per node and edge of the plan. The surrogate takes −log p for
each 1 − p, the chance p of each node and each pair being right: since −log p ≥ 1 − p it bounds the
value from above, and its gradient does not fade where the head is confidently wrong.

For the log, the exact distance between two graphs is `bb_core.ged`'s.

Source: builderbrain 2 (`g2g_loss`: graph recon).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bb_core.ged import EditDistance, search_edit_distance
from bb_core.plan import Plan, plan_graph, step_id
from bb_train.objectives.assignment import match
from bb_train.objectives.errors import ObjectiveError, ShapeError
from bb_train.objectives.term import Term, mean_term

NO_STEP = 0
"""Label of a slot that holds no step; tool number t has label t + 1."""


@dataclass(frozen=True)
class GraphTargets:
    """Graphs of B plans, padded to K nodes.

    Attributes:
        labels: (B, K) int64, `NO_STEP` or the tool's number plus one.
        edges: (B, K, K) bool, from earlier to later step.
    """

    labels: Tensor
    edges: Tensor


@dataclass(frozen=True)
class LatentGraphs:
    """Distributions of graphs, as a call-graph head puts them out.

    Attributes:
        labels: (B, K, tools + 1) logits of each slot's label, `NO_STEP` first.
        edges: (B, K, K) logits of each ordered pair, given that both are steps; the diagonal is
            not read.
    """

    labels: Tensor
    edges: Tensor


def graph_targets(plans: Sequence[Plan], tools: Sequence[str], slots: int) -> GraphTargets:
    """The graphs of plans as tensors, nodes in the order of the steps.

    Raises:
        ObjectiveError: a plan has more steps than slots, or calls an unknown tool.
        PlanGraphError: a plan's steps make no acyclic graph.
    """
    number = {tool: i + 1 for i, tool in enumerate(tools)}
    labels = torch.zeros(len(plans), slots, dtype=torch.int64)
    edges = torch.zeros(len(plans), slots, slots, dtype=torch.bool)
    for b, plan in enumerate(plans):
        if len(plan.steps) > slots:
            raise ObjectiveError(
                f"plan {b} has {len(plan.steps)} steps", where="g2g_loss",
                fix=f"use at least that many slots, not {slots}",
            )  # fmt: skip
        index = {step.id: i for i, step in enumerate(plan.steps)}
        for i, step in enumerate(plan.steps):
            if step.tool not in number:
                raise ObjectiveError(
                    f"plan {b} calls {step.tool}", where="g2g_loss",
                    fix="use the tools of the plan's domain",
                )  # fmt: skip
            labels[b, i] = number[step.tool]
        for earlier, later in plan_graph(plan).edges:
            edges[b, index[earlier], index[later]] = True
    return GraphTargets(labels, edges)


def g2g_loss(latent: LatentGraphs, targets: GraphTargets) -> Term:
    """Edits between latent graphs and plans' graphs, a share of the plan's nodes and edges.

    Args:
        latent: distributions of graphs.
        targets: what they should be.

    Returns:
        value: expected edits per node and edge of the plan, mean over plans; surrogate: nats per
        node and edge.
    """
    _check(latent, targets)
    device = latent.labels.device
    labels, edges = targets.labels.to(device), targets.edges.to(device)
    log_labels, log_edges, log_none = _log_probabilities(latent)
    matching = _matchings(log_labels, log_edges, log_none, labels, edges)
    wanted = labels.gather(1, matching)
    moved = _permuted(edges, matching)
    fit = log_labels.gather(2, wanted[..., None])[..., 0]
    pairs = torch.where(moved, log_edges, log_none)
    likelihood = -fit.sum(1) - pairs.sum((1, 2))
    expected = (1 - fit.exp()).sum(1) + (1 - pairs.exp()).sum((1, 2))
    size = ((labels != NO_STEP).sum(1) + edges.sum((1, 2))).clamp(min=1)
    return mean_term(expected.detach() / size, likelihood / size)


def likeliest_graph(latent: LatentGraphs, index: int, tools: Sequence[str]) -> nx.DiGraph:
    """The graph in which every slot and every pair of slots takes its likeliest value.

    Args:
        latent: distributions.
        index: which of the batch.
        tools: names, as for `graph_targets`.

    Returns:
        A graph as from `skeleton`; edges of slots without a step are left out. It may have cycles.
    """
    labels = latent.labels[index].argmax(-1).tolist()
    edges = (latent.edges[index] > 0).tolist()
    used = [i for i, label in enumerate(labels) if label != NO_STEP]
    graph = nx.DiGraph()
    for i in used:
        graph.add_node(step_id(i), tool=tools[labels[i] - 1], args={})
    for i in used:
        for j in used:
            if i != j and edges[i][j]:
                graph.add_edge(step_id(i), step_id(j), kind="edge", uses=())
    return graph


def skeleton(plan: Plan) -> nx.DiGraph:
    """A plan's graph without arguments and kinds of edges: what a latent graph speaks about."""
    graph = plan_graph(plan)
    bare = nx.DiGraph()
    for name, data in graph.nodes(data=True):
        bare.add_node(name, tool=data["tool"], args={})
    bare.add_edges_from(graph.edges, kind="edge", uses=())
    return bare


def edit_distances(
    emitted: Sequence[nx.DiGraph], wanted: Sequence[nx.DiGraph]
) -> list[EditDistance]:
    """Graph edit distance of each pair, in bounded time; each says whether it is exact.

    Args:
        emitted: from `likeliest_graph`, `skeleton` or `plan_graph`.
        wanted: of the same kind.
    """
    return [search_edit_distance(a, b) for a, b in zip(emitted, wanted, strict=True)]


def _log_probabilities(latent: LatentGraphs) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of labels, of an edge and of no edge; a slot never points at itself.

    Sums of logarithms throughout, so that no probability has to be subtracted from 1.
    """
    dtype = torch.promote_types(latent.labels.dtype, torch.float32)
    labels = latent.labels.to(dtype).log_softmax(-1)
    absent, step = labels[..., NO_STEP], labels[..., NO_STEP + 1 :].logsumexp(-1)
    one_absent = torch.logaddexp(absent[:, :, None], step[:, :, None] + absent[:, None, :])
    drawn = logsigmoid(latent.edges.to(dtype))
    edge = drawn + step[:, :, None] + step[:, None, :]
    none = torch.logaddexp(logsigmoid(-latent.edges.to(dtype)), drawn + one_absent)
    itself = torch.eye(edge.shape[-1], dtype=torch.bool, device=edge.device)
    return labels, edge.masked_fill(itself, 0.0), none.masked_fill(itself, 0.0)


@torch.no_grad()
def _matchings(
    log_labels: Tensor, log_edges: Tensor, log_none: Tensor, labels: Tensor, edges: Tensor
) -> Tensor:
    """(B, K) int64: the node that each slot stands for."""
    right = log_labels.gather(2, labels[:, None, :].expand(-1, labels.shape[1], -1))
    arrays = [-torch.expm1(a).double().cpu().numpy() for a in (right, log_none, log_edges)]
    graphs, real = edges.cpu().numpy(), (labels != NO_STEP).sum(1).tolist()
    found = [match(*parts) for parts in zip(*arrays, graphs, real, strict=True)]
    return torch.from_numpy(np.stack(found)).to(labels.device)


def _permuted(edges: Tensor, matching: Tensor) -> Tensor:
    """(B, K, K): the edges between the nodes that two slots stand for."""
    batch = torch.arange(len(edges), device=edges.device)[:, None, None]
    return edges[batch, matching[:, :, None], matching[:, None, :]]


def _check(latent: LatentGraphs, targets: GraphTargets) -> None:
    rows, slots = targets.labels.shape
    want = (rows, slots), (rows, slots, slots)
    have = tuple(latent.labels.shape[:2]), tuple(latent.edges.shape)
    if have != want or not rows:
        raise ShapeError(
            f"latent graphs of shapes {have} for plans of shapes {want}", where="g2g_loss",
            fix="use the same plans and slots",
        )  # fmt: skip
    if int(targets.labels.max()) >= latent.labels.shape[2]:
        raise ShapeError(
            f"label {int(targets.labels.max())} of {latent.labels.shape[2]}", where="g2g_loss",
            fix="give the head one label for each tool and one for no step",
        )  # fmt: skip
