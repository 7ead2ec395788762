"""The constrained objective of a run: which terms are measured, on what, and what is remembered.

`bb_train/objectives` has the losses and the step; this is their place in the training loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bb_core.errors import UsageError
from bb_core.files import read_text
from bb_domains.domain import Domain
from bb_nn.library.slot import LibraryUse
from bb_runtime.plan_mask import PlanLanguage
from bb_train.base_batches import Row
from bb_train.config import ObjectivesConfig
from bb_train.data import Example
from bb_train.objectives.calibration import (
    Calibration,
    calibration_from_json,
    calibration_loss,
    calibration_to_json,
    start_calibration,
)
from bb_train.objectives.divergence import invariance_loss, kl_budget
from bb_train.objectives.duals import Constraint
from bb_train.objectives.forbidden import energy_of, grammar_masks, obedience
from bb_train.objectives.gradients import are_sharded, trained_parameters
from bb_train.objectives.library import build_loss, compose, reuse_loss
from bb_train.objectives.plan_positions import paired_positions, plan_positions, same_plan_pairs
from bb_train.objectives.scales import TASK
from bb_train.objectives.step import (
    ObjectiveState,
    constrained_step,
    start_state,
    state_from_json,
    state_to_json,
)
from bb_train.objectives.step_log import StepRecord, layer_alphas, record_of
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import Term, mean_term
from bb_train.objectives.vocabulary import (
    Head,
    final_states,
    log_confidence,
    nll_of,
    vocabulary_head,
    vocabulary_rows,
)
from bb_train.optimise import inputs_of

if TYPE_CHECKING:
    from bb_train.prepare import Session

_LIBRARY = ("build_loss", "reuse_loss")


@dataclass
class Objective:
    """Measures the terms of a batch, and writes the step's gradient.

    Attributes:
        config: constraints and how conflicts are settled.
        head: of the base.
        language: of the domain's plans, for `cfs_energy`; else None.
        general: (1, T) token ids of each piece of general text; none without `kl_budget`.
        rule: how conflicts are settled.
        positions: of the whole data, over which `reuse_loss` pays for the library.
        state: duals and scales.
        record: of calibration.
    """

    config: ObjectivesConfig
    head: Head
    language: PlanLanguage | None
    general: Sequence[Tensor]
    rule: Rule
    positions: int
    state: ObjectiveState
    record: Calibration

    def gradient(self, session: Session, rows: Sequence[Row]) -> StepRecord:
        """Write the gradient of this step into the trained parameters.

        Args:
            session: whose model, processes and step these are.
            rows: this process's part of the global batch.

        Returns:
            What the step was; the same on every process but for what is a process's own.
        """
        parameters = trained_parameters(session.plain)
        sharded = are_sharded(parameters)
        alone = nullcontext() if sharded else session.accelerator.no_sync(session.model)
        with alone:
            terms, measured = self._terms(session, rows)
        outcome = constrained_step(
            terms, parameters, self.state,
            rule=self.rule, step=session.step, reduce=_sum_of(session),
        )  # fmt: skip
        self.state = outcome.state
        if not sharded:
            measured["alphas"] = layer_alphas(session.plain)
        return record_of(session.step + 1, outcome, **measured)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"state": state_to_json(self.state), "calibration": calibration_to_json(self.record)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Inverse of `to_json`, for the same constraints."""
        self.state = state_from_json(saved["state"], _constraints(self.config))
        self.record = calibration_from_json(saved["calibration"])

    def _terms(
        self, session: Session, rows: Sequence[Row]
    ) -> tuple[dict[str, Term], dict[str, Any]]:
        """The task and every configured constraint on these rows, and what else was measured."""
        wanted = self.config.constraints
        examples = [example for _, example in rows]
        model: Any = session.plain
        library = any(name in wanted for name in _LIBRARY)
        with inputs_of(session, rows) as inputs:
            inputs.pop("labels")
            with model.library_uses() if library else nullcontext([]) as uses:
                states = final_states(session.model, **inputs)
        terms, measured = self._plan_terms(session, examples, states)
        if "invariance" in wanted:
            left, right = paired_positions(examples, same_plan_pairs(examples))
            terms["invariance"] = invariance_loss(left.take(states), right.take(states), self.head)
        if "kl_budget" in wanted:
            terms["kl_budget"] = self._kl(session)
        if library:
            terms |= {k: v for k, v in self._library_terms(uses).items() if k in wanted}
        return terms, measured

    def _plan_terms(
        self, session: Session, examples: Sequence[Example], states: Tensor
    ) -> tuple[dict[str, Term], dict[str, Any]]:
        """Terms at the plan's positions, in one pass through the head."""
        at = plan_positions(examples, states.device)
        measures = [nll_of(at.targets), log_confidence]
        masks = self._masks(examples)
        if masks is not None:
            measures.append(energy_of(masks.to(states.device)))
        found = vocabulary_rows(at.take(states), self.head, measures)
        terms, measured = {TASK: mean_term(found.losses[0])}, {}
        if "calibration_loss" in self.config.constraints:
            terms["calibration_loss"], self.record = calibration_loss(
                found.losses[1].exp(), found.top == at.targets, self.record, _sum_of(session)
            )
        if masks is not None:
            obeys = obedience(found.losses[2], found.top, masks.to(states.device))
            terms["cfs_energy"] = obeys.term
            measured["cfs_rate"] = obeys.rate
        return terms, measured

    def _masks(self, examples: Sequence[Example]) -> Tensor | None:
        if self.language is None:
            return None
        plans = [example.ids[example.n_prompt :] for example in examples]
        return grammar_masks(self.language.start, plans, self.language.n_words)

    def _kl(self, session: Session) -> Term:
        """The budget on the step's piece of general text, each process on its own."""
        processes = session.accelerator.num_processes
        place = session.step * processes + session.accelerator.process_index
        ids = self.general[place % len(self.general)].to(session.accelerator.device)
        model: Any = session.plain
        with session.accelerator.autocast():
            changed = final_states(session.model, input_ids=ids)[0]
            with torch.no_grad():
                plain = final_states(model.base, input_ids=ids)[0]
        return kl_budget(changed, plain, self.head)

    def _library_terms(self, uses: Sequence[LibraryUse]) -> dict[str, Term]:
        """`build_loss` and `reuse_loss`, the mean over the layers' slots."""
        if not uses:
            raise UsageError(
                "the rail has no program library", where="objectives.constraints: build_loss",
                fix="set rail.skills, or leave build_loss and reuse_loss out",
            )  # fmt: skip
        keep, scale = self.config.keep, self.config.adapter_scale
        built = [
            build_loss(use.hidden, compose(use.outputs, use.present, keep), use.present)
            for use in uses
        ]
        reused = [
            reuse_loss(use.usage[use.present], use.adapters, scale=scale, positions=self.positions)
            for use in uses
        ]
        return {"build_loss": _mean(built), "reuse_loss": _mean(reused)}


def make_objective(session: Session, tokenizer: Any, domain: Domain) -> Objective:
    """The objective that a run's configuration asks for.

    Raises:
        UsageError: the general text is empty.
    """
    config = session.config.objectives
    assert config is not None
    language = None
    if "cfs_energy" in config.constraints:
        most = session.config.data.max_tokens
        language = PlanLanguage(tokenizer, domain, max_new_tokens=most)
    lengths = [len(example.ids) for example in session.examples]
    steps = session.config.optim.steps * session.config.optim.batch_size
    return Objective(
        config=config,
        head=vocabulary_head(session.plain),
        language=language,
        general=_general_text(config, tokenizer),
        rule=Rule(config.rule, seed=session.config.seed),
        positions=sum(lengths) or steps * session.config.data.max_tokens,
        state=start_state(_constraints(config), config.warmup),
        record=start_calibration(),
    )


def _constraints(config: ObjectivesConfig) -> tuple[Constraint, ...]:
    return tuple(
        Constraint(name, found.limit, found.rate, found.cap)
        for name, found in config.constraints.items()
    )


def _general_text(config: ObjectivesConfig, tokenizer: Any) -> list[Tensor]:
    """Pieces of the general text, `general_tokens` each; none if no budget is kept."""
    if "kl_budget" not in config.constraints:
        return []
    assert config.general_text is not None
    ids = tokenizer(read_text(config.general_text), add_special_tokens=False)["input_ids"]
    size = config.general_tokens
    pieces = [ids[at : at + size] for at in range(0, max(1, len(ids) - size + 1), size)]
    if len(pieces[0]) < 2:
        raise UsageError(
            "holds no text", where=str(config.general_text), fix="give a text file in UTF-8"
        )
    return [torch.tensor([piece]) for piece in pieces]


def _mean(terms: Sequence[Term]) -> Term:
    values = torch.stack([term.value for term in terms]).mean()
    surrogates = torch.stack([term.surrogate for term in terms]).mean()
    return Term(values, surrogates, terms[0].count)


def _sum_of(session: Session) -> Any:
    return lambda tensor: session.accelerator.reduce(tensor.clone(), "sum")
