"""What it costs to keep the gradients of several losses from each other's way."""

from __future__ import annotations

import weakref

from benchmarks.frame import Context, Measured, row, time_pair

_LOSSES, _PARAMETERS = 7, 400_000  # the main job's rail; every constraint and the task


def _matrix(context: Context):
    """Gradients of which about half of the pairs conflict."""
    import torch

    torch.manual_seed(context.seed)
    size = 10_000_000 if context.full else _PARAMETERS
    return torch.randn(_LOSSES, size)


def _ours(matrix):
    """PCGrad's direction through the Gram matrix, written into a parameter."""
    import torch

    from bb_train.objectives.gradients import Rows, gram_matrix, write_gradient
    from bb_train.objectives.surgery import Rule, weights

    parameter = torch.nn.Parameter(torch.zeros(matrix.shape[1]))
    rows = Rows(tuple(map(str, range(len(matrix)))), matrix)

    def direction() -> None:
        write_gradient(rows, weights(Rule("pcgrad"), gram_matrix(rows), 0), [parameter])

    return direction


@row(
    "rails.pcgrad", peer_name="the paper's loop over gradients", unit="s", target=2.0, better="less"
)
def pcgrad(context: Context) -> Measured:
    """Seven gradients of 400,000 parameters (ten million with --full) to one direction."""
    import torch

    from bb_train.objectives.surgery import pcgrad_orders

    matrix = _matrix(context)
    orders = pcgrad_orders(len(matrix), 0, 0)

    def by_the_paper() -> torch.Tensor:
        projected = matrix.clone()
        for mine, order in zip(projected, orders, strict=True):
            for j in order:
                along = mine @ matrix[j]
                if along < 0:
                    mine -= along / (matrix[j] @ matrix[j]) * matrix[j]
        return projected.sum(0)

    return time_pair(_ours(matrix), by_the_paper, repetitions=9)


@row("rails.pcgrad_torchjd", peer_name="torchjd PCGrad", unit="s", target=1.0, better="less")
def pcgrad_torchjd(context: Context) -> Measured:
    """The same against torchjd, where it is installed; since 0.8 by the Gram matrix, too."""
    from torchjd.aggregation import PCGrad

    matrix = _matrix(context)
    aggregate = PCGrad()
    return time_pair(_ours(matrix), lambda: aggregate(matrix), repetitions=9)


@row("rails.vocabulary_memory", peer_name="whole logits", unit="bytes", target=10.0, better="less")
def vocabulary_memory(context: Context) -> Measured:
    """What the KL to the base keeps for its backward pass: 512 positions, 32,000 tokens, d=384."""
    import torch

    from bb_train.objectives.divergence import kl_budget
    from bb_train.objectives.vocabulary import Head

    torch.manual_seed(context.seed)
    weight = torch.randn(32_000, 384) / 384**0.5
    base = torch.randn(512, 384)

    def kept(loss_of) -> float:
        states = torch.randn(512, 384, requires_grad=True)
        seen: list[weakref.ref] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (seen.append(weakref.ref(t)), t)[1], lambda t: t
        ):
            loss = loss_of(states)
        alive = {t.data_ptr(): t.nbytes for t in (ref() for ref in seen) if t is not None}
        assert loss.requires_grad
        alive.pop(weight.data_ptr(), None)  # the frozen head itself
        return float(sum(alive.values()))

    def whole(states):
        ours = (states @ weight.T).log_softmax(-1)
        theirs = (base @ weight.T).log_softmax(-1)
        return (theirs.exp() * (theirs - ours)).sum(-1).mean()

    head = Head(lambda rows: rows @ weight.T, len(weight))
    return Measured([kept(lambda s: kl_budget(s, base, head).surrogate)], [kept(whole)])


@row(
    "rails.objectives_step", peer_name="the weighted sum, one backward pass",
    unit="s", target=0.4, better="less",
)  # fmt: skip
def objectives_step(context: Context) -> Measured:
    """A step of the rail on the embedded base with task, cfs, KL, invariance: PCGrad or sum."""
    import torch

    from bb_core.prompt import format_prompt
    from bb_nn.base import load_base
    from bb_nn.config import DualRailConfig
    from bb_nn.rail import DualRailForCausalLM
    from bb_train.objectives.divergence import invariance_loss, kl_budget
    from bb_train.objectives.duals import Constraint, Duals
    from bb_train.objectives.forbidden import cfs_energy
    from bb_train.objectives.gradients import trained_parameters
    from bb_train.objectives.scales import Scales
    from bb_train.objectives.step import ObjectiveState, constrained_step
    from bb_train.objectives.surgery import Rule
    from bb_train.objectives.term import mean_term
    from bb_train.objectives.vocabulary import (
        final_states,
        nll_of,
        vocabulary_head,
        vocabulary_rows,
    )

    torch.manual_seed(context.seed)
    base, tokenizer = load_base()
    model = DualRailForCausalLM.from_base(base, tokenizer, DualRailConfig(), None).train()
    head, parameters = vocabulary_head(model), trained_parameters(model)
    text = format_prompt("Track order 1042.") + '{"plan":[' + '{"id":"a","tool":"login"},' * 40
    ids = torch.tensor([tokenizer(text)["input_ids"][:192]] * 8)
    masks = torch.full((4 * 96, -(-head.size // 32)), 0x0F0F0F0F, dtype=torch.int32)
    plain = final_states(base, input_ids=ids).detach()
    names = ("cfs_energy", "kl_budget", "invariance")
    duals = Duals(tuple(Constraint(name, 0.0, rate=1e-9) for name in names), (1.0,) * 3)
    state = ObjectiveState(duals, Scales(0))

    def terms():
        states = final_states(model, input_ids=ids)
        plan = states[:4, 96:].reshape(-1, states.shape[-1])
        nll = vocabulary_rows(plan, head, [nll_of(ids[:4, 96:].flatten())]).losses[0]
        return {
            "task": mean_term(nll),
            "cfs_energy": cfs_energy(plan, head, masks).term,
            "kl_budget": kl_budget(states[4:].flatten(0, 1), plain[4:].flatten(0, 1), head),
            "invariance": invariance_loss(states[0, 96:], states[1, 96:], head),
        }

    def with_surgery() -> None:
        constrained_step(terms(), parameters, state, rule=Rule("pcgrad"), step=0)

    def summed() -> None:
        sum(term.surrogate for term in terms().values()).backward()

    return time_pair(with_surgery, summed, repetitions=9 if context.full else 3)
