from pathlib import Path

import pytest

from bb_core.errors import BBError, UsageError
from bb_train.config import dump_config, load_config, parse_config

YAML = """
method: lora
out: runs/one
data: {train: traces.jsonl}
optim: {lr: 1.0e-3, steps: 10}
lora: {rank: 4}
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(YAML)
    return path


def test_words_override_the_file(config_file):
    config = load_config(config_file, ["optim.lr=5e-4", "seed=7", "data.domain=other", "base=null"])
    assert (config.optim.lr, config.seed, config.data.domain, config.base) == (
        5e-4,
        7,
        "other",
        None,
    )


def test_dumped_configuration_loads_to_an_equal_one(config_file, tmp_path):
    config = load_config(config_file, ["rail.width=64"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.lr=-1", r"train.yaml: optim.lr: Input should be greater than 0; correct optim.lr"),
        ("optim.stepz=3", r"train.yaml: optim.stepz: Extra inputs are not permitted"),
        ("method=rale", r"train.yaml: method: Input should be 'rail', 'lora' or 'full'"),
        ("lora.rank=null", r"method lora needs lora.parameters .* or lora.rank"),
        ("lora.parameters=10", r"give parameters or rank, not both"),
        ("seed", r"words: 'seed' is no override; write key=value"),
        ("seed.x.y=1", r"seed.x.y=1: 'seed' holds no keys; set seed itself"),
        ("seed=[", r"seed=\[: the value is no YAML"),
    ],
)
def test_bad_words_are_refused_by_name(config_file, word, message):
    words = [word] if not word.startswith("seed.x") else ["seed=1", word]
    with pytest.raises(UsageError, match=message) as error:
        load_config(config_file, words)
    assert error.value.exit_code == 2


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(BBError, match=r"nothing.yaml: file does not exist"):
        load_config(tmp_path / "nothing.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("method: [rail\nout: x")
    with pytest.raises(BBError, match=r"broken.yaml:2:"):
        load_config(broken)
    listed = tmp_path / "list.yaml"
    listed.write_text("- rail\n")
    with pytest.raises(UsageError, match=r"list.yaml: the file holds no mapping"):
        load_config(listed)


def test_every_shipped_training_configuration_loads():
    folder = Path(__file__).parents[3] / "configs"
    files = sorted(folder.glob("train_*.yaml"))
    assert [path.name for path in files] == ["train_lora.yaml", "train_rail.yaml"]
    for path in files:
        words = ["lora.parameters=1000"] if "lora" in path.name else []
        assert load_config(path, words).method == path.stem.removeprefix("train_")


def test_parse_config_counts_further_faults():
    with pytest.raises(UsageError, match=r"job: method: Field required \(3 more\)"):
        parse_config({}, "job")
