"""Soft to hard: trained, decided, made small, proved, installed as an expert."""

import numpy as np
import pytest

from bb_nn.library.library import Library
from bb_nn.library.skill import Place, Skill, placed
from bb_nn.soft_logic.network import NetworkShape
from bb_train.soft_to_hard import (
    Examples,
    SoftToHardError,
    SoftTraining,
    description_bits,
    harden,
    install,
    run_circuit,
    train_soft,
)
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.errors import PatchError
from bem_kernel.experts.expert import step
from bem_kernel.experts.table import ExpertTable
from bem_kernel.lanes import pack_bits, unpack_bits
from bem_kernel.ledger.chain import Ledger, read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.apply import apply
from bem_kernel.patches.propose import propose_replace
from bem_kernel.synthesis.equivalence import Equal, compare


def majority_with_memory(rows, length, seed):
    """Two votes and the last verdict: whoever has two of three gives the next verdict."""
    votes = np.random.default_rng(seed).random((rows, length, 2)) < 0.5
    verdict, verdicts = np.zeros(rows, np.int64), []
    for t in range(length):
        verdict = (votes[:, t].sum(1) + verdict >= 2).astype(np.int64)
        verdicts.append(verdict.astype(bool))
    return Examples(votes, np.stack(verdicts, 1)[..., None])


def digits():
    """All bytes, and whether each is an ASCII digit."""
    value = np.arange(256)
    bits = (value[:, None, None] >> np.arange(8) & 1).astype(bool)
    return Examples(bits, ((value >= 48) & (value < 58))[:, None, None])


def machine(tmp_path):
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    table = ExpertTable(Memory(MachineConfig(n_bits=16, n_shared_bits=64, **sizes)))
    return table, Ledger(tmp_path / "log.jsonl")


@pytest.fixture(scope="module")
def learned():
    examples = majority_with_memory(64, 5, 1)
    trained = train_soft(examples, NetworkShape(2, 1, 1, (16, 8)), SoftTraining(seed=1))
    return examples, trained, harden(trained, examples, 200)


def majority():
    b = CircuitBuilder(3)
    both = b.or_(b.and_(1, 2), b.and_(0, b.or_(1, 2)))
    return b.build([both, both])


def test_a_machine_with_memory_is_learned_and_right_at_any_length(learned):
    _, trained, hardened = learned
    assert trained.hard_accuracy == 1.0
    longer = majority_with_memory(50, 400, 9)
    assert np.array_equal(run_circuit(hardened.circuit, 1, longer.inputs), longer.outputs)


def test_it_is_as_small_as_the_function_needs_and_proved_equal(learned):
    _, _, hardened = learned
    assert len(hardened.circuit.gates) < len(hardened.decided.gates)
    assert hardened.proof is not None
    assert isinstance(compare(hardened.decided, hardened.circuit), Equal)
    assert description_bits(hardened.circuit) == hardened.learned_bits
    assert hardened.learned_bits < description_bits(hardened.decided)


def test_it_is_installed_as_an_expert_under_certificates(learned, tmp_path):
    _, _, hardened = learned
    table, log = machine(tmp_path)
    installed = install(table, log, "vote", hardened, Place((7,), (2, 3), (8,)))
    expert = table.expert(installed.identifier)
    assert expert.circuit == hardened.circuit and len(installed.certificate) == 64
    kinds = [entry["patch"]["kind"] for entry in read_entries(log.path) if "patch" in entry]
    assert kinds == ["add", "replace"]
    assert installed.proved is not None and len(installed.proved.proved) > 0
    state = np.random.default_rng(0).random((64, 16)) < 0.5
    after = unpack_bits(step(expert, pack_bits(state)), 64)
    verdict = state[:, [7, 2, 3]].sum(1) >= 2
    assert np.array_equal(after[:, 8], verdict)
    untouched = [i for i in range(16) if i not in (7, 8)]
    assert np.array_equal(after[:, untouched], state[:, untouched])


def test_it_runs_in_a_rails_library(learned, tmp_path):
    _, _, hardened = learned
    table, log = machine(tmp_path)
    skill = install(table, log, "vote", hardened, Place((7,), (2, 3), (8,))).skill()
    assert skill.learned_bits == hardened.learned_bits and len(skill.certificate) == 64
    assert Skill.from_json(skill.to_json()) == skill
    library = Library((placed(skill, Place((1,), (0, 2), (0,)), 3, 3, 2),), 3, ())
    examples = majority_with_memory(20, 9, 5)
    inputs = np.zeros((20, 9, 3), np.bool_)
    inputs[..., [0, 2]] = examples.inputs
    chosen, start = np.ones((20, 9, 1), np.bool_), np.zeros((20, 3), np.bool_)
    _, outputs = library.run(inputs, chosen, start)
    assert np.array_equal(outputs[..., :1], examples.outputs) and not outputs[..., 1].any()


def test_a_certificate_does_not_install_another_circuit(learned, tmp_path):
    """One gate of the small circuit is changed after the proof."""
    _, _, hardened = learned
    table, log = machine(tmp_path)
    installed = install(table, log, "vote", hardened, Place((7,), (2, 3), (8,)))
    b = CircuitBuilder(3)
    forged = b.build([b.or_(1, 2), b.or_(1, 2)])
    patch = propose_replace(table, installed.identifier, forged, reason="forged")
    with pytest.raises(PatchError, match="certificate"):
        apply(table, patch, installed.proved, log)
    assert table.expert(installed.identifier).circuit == hardened.circuit


def test_a_class_of_bytes_is_learned_whole():
    examples = digits()
    how = SoftTraining(seed=1)
    trained = train_soft(examples, NetworkShape(8, 1, 0, (24, 16, 8)), how)
    hardened = harden(trained, examples, 300)
    assert np.array_equal(run_circuit(hardened.circuit, 0, examples.inputs), examples.outputs)
    assert trained.agreement > 0.95


def test_training_is_a_function_of_its_seed():
    examples = majority_with_memory(16, 4, 1)
    shape, how = NetworkShape(2, 1, 1, (6,)), SoftTraining(4, 60, cycle=20)
    first, second = (train_soft(examples, shape, how) for _ in range(2))
    assert (first.replica, first.steps) == (second.replica, second.steps)
    assert first.soft_accuracy == second.soft_accuracy


def test_what_was_not_learned_is_not_hardened():
    examples = majority_with_memory(32, 4, 2)
    trained = train_soft(examples, NetworkShape(2, 1, 1, (4,)), SoftTraining(2, 1))
    with pytest.raises(SoftToHardError, match=r"harden: the decided network has 0\.\d+ of the"):
        harden(trained, examples)


def test_examples_that_do_not_fit_are_refused():
    bits = np.zeros((2, 3, 1), np.bool_)
    with pytest.raises(SoftToHardError, match="examples: inputs .* give .sequences, tokens"):
        Examples(bits, bits[:1])
    with pytest.raises(SoftToHardError, match="examples: values that are not bool"):
        Examples(bits.astype(float), bits)
    with pytest.raises(SoftToHardError, match="soft training: examples of 1 inputs"):
        train_soft(Examples(bits, bits), NetworkShape(2, 1))
    with pytest.raises(SoftToHardError, match="0 replicas"):
        SoftTraining(replicas=0)
