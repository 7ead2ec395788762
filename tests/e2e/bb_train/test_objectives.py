"""The constrained objective drives the tiny dual rail, as the training loop will call it."""

import itertools
import json

import pytest
import torch

from bb_nn.base import load_base
from bb_nn.config import DualRailConfig
from bb_nn.rail import DualRailForCausalLM
from bb_runtime.plan_mask import PlanLanguage
from bb_train.checkpoint import Position, load_checkpoint, save_checkpoint
from bb_train.data import Example, collate, encode_example
from bb_train.objectives.calibration import (
    calibration_from_json,
    calibration_loss,
    calibration_to_json,
    start_calibration,
)
from bb_train.objectives.divergence import invariance_loss, kl_budget
from bb_train.objectives.duals import Constraint
from bb_train.objectives.forbidden import energy_of, grammar_masks, obedience
from bb_train.objectives.gradients import trained_parameters
from bb_train.objectives.library import build_loss, compose, reuse_loss
from bb_train.objectives.plan_positions import paired_positions, plan_positions, same_plan_pairs
from bb_train.objectives.step import constrained_step, start_state, state_from_json, state_to_json
from bb_train.objectives.step_log import layer_alphas, record_from_json, record_of, record_to_json
from bb_train.objectives.surgery import Rule
from bb_train.objectives.term import mean_term
from bb_train.objectives.vocabulary import (
    final_states,
    log_confidence,
    nll_of,
    vocabulary_head,
    vocabulary_rows,
)
from bb_train.objectives.wireheading import covariances, observe, start_audit
from bb_train.run_dir import RunDir, append_log, read_log

CONSTRAINTS = (
    Constraint("cfs_energy", 0.02, rate=1.0),
    Constraint("kl_budget", 0.05, rate=1.0),
    Constraint("invariance", 0.01, rate=1.0),
    Constraint("calibration_loss", 0.05, rate=0.2),
    Constraint("build_loss", 0.9, rate=0.1),
    Constraint("reuse_loss", 2.0, rate=0.1),
)


@pytest.fixture(scope="module")
def domain(domain_folder):
    from bb_domains.domain import load_domain

    return load_domain(str(domain_folder))


class Trainer:
    """A loop of one process, with nothing in it but calls of the objectives."""

    def __init__(self, base_folder, traces, domain):
        torch.manual_seed(0)
        base, tokenizer = load_base(str(base_folder))
        with torch.no_grad():  # a random head of this size can say nothing with confidence
            base.get_output_embeddings().weight.mul_(20)
        config = DualRailConfig(
            width=16, heads=2, alpha_start=0.3, alpha_budget=0.5, library={"skills": 4, "rank": 2}
        )
        self.model = DualRailForCausalLM.from_base(base, tokenizer, config).train()
        self.head = vocabulary_head(self.model)
        self.parameters = trained_parameters(self.model)
        self.optimiser = torch.optim.AdamW(self.parameters, lr=2e-2)
        self.pad = tokenizer.pad_token_id
        language = PlanLanguage(tokenizer, domain, max_new_tokens=400)
        self.examples = [e for t in traces for e in two_wordings(tokenizer, t)]
        plans = [e.ids[e.n_prompt :] for e in self.examples]
        self.masks = [grammar_masks(language.start, [p], language.n_words) for p in plans]
        text = tokenizer(" ".join(trace.request for trace in traces[:6]))["input_ids"][:64]
        self.text = {"input_ids": torch.tensor([text])}
        self.state, self.record = start_state(CONSTRAINTS, warmup=3), start_calibration()
        self.done = 0

    def step(self):
        """One step; returns its record."""
        torch.manual_seed(self.done)  # of the Gumbel noise: a resumed run draws the same
        rows = [(4 * self.done + i) % len(self.examples) for i in range(4)]
        batch = [self.examples[row] for row in rows]
        inputs = collate(batch, self.pad)
        inputs.pop("labels")
        with self.model.library_uses() as uses:
            states = final_states(self.model, **inputs)
        use = uses[0]
        at = plan_positions(batch)
        masks = torch.cat([self.masks[row] for row in rows])
        found = vocabulary_rows(
            at.take(states), self.head, [nll_of(at.targets), energy_of(masks), log_confidence]
        )
        nll, energies, sure = found.losses
        obeys = obedience(energies, found.top, masks)
        calibration, self.record = calibration_loss(
            sure.exp(), found.top == at.targets, self.record
        )
        left, right = paired_positions(batch, same_plan_pairs(batch))
        general = final_states(self.model, **self.text)[0]
        with torch.no_grad():
            plain = final_states(self.model.base, **self.text)[0]
        terms = {
            "task": mean_term(nll),
            "cfs_energy": obeys.term,
            "kl_budget": kl_budget(general, plain, self.head),
            "invariance": invariance_loss(left.take(states), right.take(states), self.head),
            "calibration_loss": calibration,
            "build_loss": build_loss(
                use.hidden, compose(use.outputs, use.present, 0.5), use.present
            ),
            "reuse_loss": reuse_loss(
                use.usage[use.present], use.adapters, scale=0.1, positions=10_000
            ),
        }
        outcome = constrained_step(
            terms, self.parameters, self.state, rule=Rule("pcgrad"), step=self.done
        )
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.state, self.done = outcome.state, self.done + 1
        alphas = layer_alphas(self.model)
        return record_of(self.done, outcome, alphas=alphas, cfs_rate=obeys.rate)

    def save(self, folder):
        save_checkpoint(folder / "checkpoint", self.model, self.optimiser, Position(self.done))
        state = {
            "objective": state_to_json(self.state),
            "calibration": calibration_to_json(self.record),
        }
        (folder / "objective.json").write_text(json.dumps(state))

    def load(self, folder):
        self.done = load_checkpoint(folder / "checkpoint", self.model, self.optimiser).step
        saved = json.loads((folder / "objective.json").read_text())
        self.state = state_from_json(saved["objective"], CONSTRAINTS)
        self.record = calibration_from_json(saved["calibration"])

    def held_out(self):
        """Loss on examples that no step has seen, nats a plan token."""
        batch = self.examples[-8:]
        inputs = collate(batch, self.pad)
        inputs.pop("labels")
        at = plan_positions(batch)
        self.model.eval()
        with torch.no_grad():
            states = at.take(final_states(self.model, **inputs))
            loss = vocabulary_rows(states, self.head, [nll_of(at.targets)]).losses[0].mean()
        self.model.train()
        return float(loss)


def two_wordings(tokenizer, trace):
    """The trace's example, and the same plan after other words."""
    first = encode_example(tokenizer, trace, 512)
    again = tokenizer(f"### Request\nPlease: {trace.request}\n### Plan\n")["input_ids"]
    return first, Example((*again, *first.ids[first.n_prompt :]), len(again))


def test_the_constrained_objective_trains_the_rail_and_logs_every_step(
    tiny_base, traces, domain, tmp_path
):
    trainer = Trainer(tiny_base, traces, domain)
    frozen = [p.clone() for p in trainer.model.base.parameters()]
    audit = start_audit(["cfs_energy"])
    run = RunDir(tmp_path)
    first_truth = trainer.held_out()
    for _ in range(14):
        record = trainer.step()
        truth = trainer.held_out()
        audit = observe(audit, {"cfs_energy": record.values["cfs_energy"]}, truth)
        append_log(run, record_to_json(record) | {"covariances": covariances(audit)})
    records = [record_from_json(line) for line in read_log(tmp_path)]
    assert [r.step for r in records] == list(range(1, 15))
    first, last = records[0], records[-1]
    assert set(first.values) == set(first.duals) == {c.name for c in CONSTRAINTS}
    assert len(first.cosines) == 21 and len(first.alphas) == 2  # all pairs of seven gradients
    assert last.loss < 0.5 * first.loss and truth < first_truth
    assert last.values["cfs_energy"] < 0.8 * first.values["cfs_energy"]
    assert last.duals["cfs_energy"] > 1 and 0 <= last.cfs_rate < first.cfs_rate
    kl = [r.values["kl_budget"] for r in records]
    assert kl[0] < 1e-4 and max(kl) > 2 * kl[-1] > 0  # overshoots, and its dual calls it back
    assert last.duals["reuse_loss"] == 0 and "reuse_loss" not in last.weights  # slack: spared
    assert audit.alarms == () and last.covariances["cfs_energy"] > 0
    for before, after in zip(frozen, trainer.model.base.parameters(), strict=True):
        assert torch.equal(before, after)


def test_a_resumed_run_has_the_bits_of_an_unbroken_one(tiny_base, traces, domain, tmp_path):
    whole = Trainer(tiny_base, traces, domain)
    records = [whole.step() for _ in range(5)]
    half = Trainer(tiny_base, traces, domain)
    for _ in range(2):
        half.step()
    half.save(tmp_path)
    resumed = Trainer(tiny_base, traces, domain)
    resumed.load(tmp_path)
    assert [resumed.step() for _ in range(3)] == records[2:]
    assert resumed.state == whole.state and resumed.record == whole.record
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        assert torch.equal(a, b)


def test_conflicts_among_the_gradients_change_their_weights(tiny_base, traces, domain):
    """With conflicts among the gradients, PCGrad is not the sum."""
    trainer = Trainer(tiny_base, traces, domain)
    for _ in range(6):
        record = trainer.step()
    assert min(record.cosines.values()) < 0
    priced = {
        name: record.scales[name] * {"task": 1.0, **record.duals}[name] for name in record.weights
    }
    changed = [n for n in record.weights if record.weights[n] != pytest.approx(priced[n])]
    assert changed
    assert all(
        a in record.weights for a in itertools.chain(*(k.split("|") for k in record.cosines))
    )
