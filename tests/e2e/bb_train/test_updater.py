"""Accepted traces make a candidate; base and production stay as they are."""

import pytest
import torch

from bb_core.errors import BBError, UsageError
from bb_train.config import parse_config
from bb_train.loop import train
from bb_train.provenance import tree_hashes
from bb_train.run_dir import read_record
from bb_train.updater import AdapterUpdater


def rail_weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "rail.safetensors")


@pytest.fixture
def production(training, tmp_path):
    """Folder of a trained rail, and the configuration that trained it."""
    raw = training("rail", out=str(tmp_path / "production"))
    config = parse_config(raw, "test")
    return train(config).model, config


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_only_adapters_are_trained(production, tmp_path):
    folder, config = production
    raw = config.model_dump(mode="json") | {
        "start": str(folder), "trains": "adapters", "rail": {}, "out": str(tmp_path / "next"),
    }  # fmt: skip
    run = train(parse_config(raw, "test"))
    before, after = rail_weights(folder), rail_weights(run.model)
    assert changed(before, after) == {n for n in before if n.endswith("slot.adapters")} != set()
    adapters = sum(before[name].numel() for name in changed(before, after))
    assert read_record(run.root)["trainable_parameters"] == adapters


def test_adapters_alone_need_a_rail_to_start_from(training):
    with pytest.raises(UsageError, match=r"trains: adapters needs start, a trained rail's folder"):
        parse_config(training("rail", trains="adapters"), "test")


def test_an_update_without_traces_is_refused(production, tmp_path):
    folder, config = production
    with pytest.raises(BBError, match=r"update: there are no accepted traces; wait for some"):
        AdapterUpdater(config, tmp_path / "updates").update(folder, [])


@pytest.mark.slow
def test_an_update_is_a_candidate_and_nothing_else_changes(production, traces, tiny_base, tmp_path):
    folder, config = production
    updater = AdapterUpdater(config, tmp_path / "updates")
    untouched = tree_hashes(folder), tree_hashes(tiny_base)
    candidate = updater.update(folder, traces[:9])
    assert (tree_hashes(folder), tree_hashes(tiny_base)) == untouched
    moved = changed(rail_weights(folder), rail_weights(candidate.folder))
    assert moved and all(name.endswith("slot.adapters") for name in moved)
    assert candidate.base == read_record(folder.parent)["base"]
    assert candidate.provenance["steps"] == config.optim.steps
    again = updater.update(folder, traces[:9])
    assert again == candidate and len(list((tmp_path / "updates").glob("*.yaml"))) == 1
    assert updater.update(folder, traces[:8]).folder != candidate.folder
