import pytest

from bb_core.errors import BBError, UsageError
from bb_train.config import load_config
from bb_train.job import CONFIGS, load_job


def test_the_shipped_job_loads_and_its_paths_exist():
    job = load_job(CONFIGS / "main_job.yaml")
    assert load_config(job.train.rail).method == "rail"
    assert load_config(job.train.lora, ["lora.parameters=1"]).method == "lora"
    assert job.gate.policy.is_file()


def test_a_bad_job_is_refused_by_key(tmp_path):
    path = tmp_path / "job.yaml"
    text = (CONFIGS / "main_job.yaml").read_text()
    path.write_text(text.replace("port: 8077", "port: 99999"))
    with pytest.raises(UsageError, match=r"job.yaml: service.port: .*65535"):
        load_job(path)
    with pytest.raises(BBError, match=r"none.yaml: file does not exist"):
        load_job(tmp_path / "none.yaml")


def test_rail_and_lora_train_equally_long_on_equal_batches():
    job = load_job(CONFIGS / "main_job.yaml")
    rail = load_config(job.train.rail).optim
    lora = load_config(job.train.lora, ["lora.parameters=1"]).optim
    assert (rail.steps, rail.batch_size) == (lora.steps, lora.batch_size)
