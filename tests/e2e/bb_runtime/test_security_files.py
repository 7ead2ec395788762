"""Files that are code in disguise: each door that loads something is shown some, and runs none."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bb_core.canonical import file_sha256
from bb_core.errors import BBError
from bb_core.files import read_yaml
from bb_core.store import Store
from bb_domains.domain import load_domain
from bb_nn.base import load_base
from bb_nn.checkpoint import load_rail, save_rail
from bb_nn.config import DualRailConfig
from bb_nn.rail import DualRailForCausalLM
from bb_train.checkpoint import load_checkpoint
from bb_train.config import TrainConfig
from bb_train.methods import _load_method
from bem_kernel.errors import KernelError
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image
from bem_kernel.memory.image_folder import load_folder, save_folder
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment
from seal.models import load_model

SHOP = Path(__file__).parents[2] / "unit" / "bb_runtime" / "shop"


class Bomb:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """The file that is there once something has run; it is not, at the end."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


@pytest.fixture
def bomb(mark):
    return pickle.dumps(Bomb(mark))


def test_the_bomb_goes_off(tmp_path):
    """So that the other tests say something."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "gone off")))
    file = tmp_path / "bomb.npy"
    np.save(file, np.array([Bomb(tmp_path / "twice")], dtype=object), allow_pickle=True)
    np.load(file, allow_pickle=True)
    torch.save({"x": Bomb(tmp_path / "thrice")}, tmp_path / "bomb.bin")
    torch.load(tmp_path / "bomb.bin", weights_only=False)
    names = ("gone off", "twice", "thrice")
    assert all((tmp_path / name).exists() for name in names)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a whole small model and its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    alphabet = {token: i for i, token in enumerate(["<end>", *"abcdefgh"])}
    backend = Tokenizer(models.WordLevel(alphabet, unk_token="<end>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


LOADERS = [load_base, load_model]


def torch_file(mark):
    """What `torch.save` writes, with the bomb in it."""
    buffer = io.BytesIO()
    torch.save({"lm_head.weight": Bomb(mark)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("load", LOADERS)
def test_the_folder_loads_as_it_is(load, folder):
    model, _ = load(str(folder))
    assert model.config.hidden_size == 16


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.bin", "pytorch_model.pt", "model.pkl"]
)
def test_pickled_weights_alone_are_refused(load, name, folder, mark, bomb):
    (folder / "model.safetensors").unlink()
    for content in (bomb, torch_file(mark)):
        (folder / name).write_bytes(content)
        with pytest.raises(BBError, match=r"cannot be loaded|does not load"):
            load(str(folder))


@pytest.mark.parametrize("load", LOADERS)
def test_pickled_weights_under_another_name_are_refused(load, folder, mark, bomb):
    for content in (bomb, torch_file(mark)):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(BBError, match=r"cannot be loaded|does not load"):
            load(str(folder))


@pytest.mark.parametrize("load", LOADERS)
def test_an_index_leads_to_no_pickle(load, folder, mark, bomb):
    (folder / "model.safetensors").unlink()
    names = list(LlamaForCausalLM(LlamaConfig(
        vocab_size=9, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2,
    )).state_dict())  # fmt: skip
    (folder / "shard.bin").write_bytes(torch_file(mark))
    (folder.parent / "outside.bin").write_bytes(torch_file(mark))
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        for shard in ("shard.bin", "../outside.bin"):
            data = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, shard)}
            (folder / index).write_text(json.dumps(data))
            with pytest.raises(BBError, match=r"cannot be loaded|does not load"):
                load(str(folder))
        (folder / index).unlink()


@pytest.mark.parametrize("load", LOADERS)
def test_what_lies_beside_whole_weights_is_not_looked_at(load, folder, mark, bomb):
    others = (
        "pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
        "tokenizer.pkl", "vocab.pkl", "merges.pkl", "adapter_model.bin", "flax_model.msgpack",
    )  # fmt: skip
    for name in others:
        (folder / name).write_bytes(torch_file(mark))
    load(str(folder))


CODE = "from pathlib import Path\nPath({mark!r}).touch()\n"


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("kind", ["llama", "made-up"])
def test_code_that_a_configuration_names_does_not_run(load, kind, folder, mark):
    """Neither asked about on the terminal, which a server has none of, nor run."""
    code = CODE.format(mark=str(mark))
    for name in ("evil.py", "custom_generate/generate.py", "__init__.py", "tokenization_evil.py"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code + "class Evil: pass\n")
    names = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": names, "model_type": kind, "architectures": ["Evil"]}
    (folder / "config.json").write_text(json.dumps(config))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told |= {"auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    if kind == "llama":
        load(str(folder))
    else:
        with pytest.raises(BBError, match=r"cannot be loaded|does not load"):
            load(str(folder))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('touch {mark}') }}",
        "{{ self.__init__.__globals__.__builtins__.open('{mark}', 'w') }}",
        "{% set x = messages.__class__.__base__.__subclasses__() %}{{ x }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_chat_template_reaches_nothing(template, whole, mark):
    from jinja2.exceptions import TemplateError

    tokenizer = load_base(str(whole))[1]
    tokenizer.chat_template = template.replace("{mark}", str(mark))
    with pytest.raises((TemplateError, TypeError)):
        tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)


# -- what is trained -------------------------------------------------------------------------------


@pytest.fixture
def rail(whole, tmp_path):
    base, tokenizer = load_base(str(whole))
    config = DualRailConfig(width=8, heads=2, skills=2)
    save_rail(DualRailForCausalLM.from_base(base, tokenizer, config), tmp_path / "rail")
    return tmp_path / "rail"


def test_a_rail_is_no_pickle(rail, whole, mark, bomb):
    pair = load_base(str(whole))
    load_rail(rail, pair)
    for name in ("rail.safetensors", "config.json"):
        kept = (rail / name).read_bytes()
        for content in (bomb, torch_file(mark)):
            (rail / name).write_bytes(content)
            with pytest.raises(BBError):
                load_rail(rail, pair)
        (rail / name).write_bytes(kept)
    (rail / "rail.safetensors").unlink()
    (rail / "rail.bin").write_bytes(torch_file(mark))
    (rail / "pytorch_model.bin").write_bytes(torch_file(mark))
    with pytest.raises(BBError):
        load_rail(rail, pair)


def test_a_trained_base_is_no_pickle(folder, whole, mark, bomb):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(torch_file(mark))
    base, tokenizer = load_base(str(whole))
    with pytest.raises(OSError, match="safetensors"):
        _load_method(TrainConfig.model_construct(method="full"), folder, base, tokenizer)


def test_an_adapter_is_no_pickle(tmp_path, whole, mark, bomb):
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]})
    )
    (folder / "adapter_model.bin").write_bytes(torch_file(mark))
    base, tokenizer = load_base(str(whole))
    with pytest.raises(BBError, match="no adapter_model.safetensors; train the adapter again"):
        _load_method(TrainConfig.model_construct(method="lora"), folder, base, tokenizer)


def test_a_checkpoint_of_training_is_no_pickle(tmp_path, mark, bomb):
    model = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    good = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), good)
    for name in ("weights.safetensors", "optimiser.safetensors"):
        (tmp_path / "optimiser.safetensors").write_bytes(good.read_bytes())
        save_file(model.state_dict(), good)
        (tmp_path / name).write_bytes(torch_file(mark))
        hashes = {
            one: file_sha256(tmp_path / one)
            for one in ("weights.safetensors", "optimiser.safetensors")
        }
        (tmp_path / "state.json").write_text(json.dumps({"files": hashes, "position": {}}))
        with pytest.raises(Exception, match=r"header|Safetensor|invalid"):
            load_checkpoint(tmp_path, model, optimiser)


# -- the machine, the store, domains ---------------------------------------------------------------


def archive(bomb):
    """A `.npz` whose one array is of objects."""
    buffer, array = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    array.write(bomb)
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("arr_0.npy", array.getvalue())
    return buffer.getvalue(), array.getvalue()


def test_an_image_is_no_pickle(tmp_path, mark, bomb):
    for content in (bomb, *archive(bomb), torch_file(mark)):
        file = tmp_path / "x.bem"
        file.write_bytes(content)
        with pytest.raises(KernelError):
            load_image(file)


def test_a_folder_of_arrays_holds_no_pickle(tmp_path, mark, bomb):
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, n_parameters=4, lanes=64))
    memory.allocate(Segment.TRACE, "x", np.dtype(np.int64), (1,))
    save_folder(memory, tmp_path / "image")
    files = sorted((tmp_path / "image").glob("*.npy"))
    assert files
    for file in files:
        kept = file.read_bytes()
        for content in (bomb, *archive(bomb)):
            file.write_bytes(content)
            with pytest.raises(KernelError):
                load_folder(tmp_path / "image")
        file.write_bytes(kept)


def test_what_the_store_keeps_is_bytes(tmp_path, mark, bomb):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.pkl").write_bytes(bomb)
    store = Store(tmp_path / "store")
    kept = store.get(store.put_tree(tmp_path / "folder"))
    assert (kept / "model.pkl").read_bytes() == bomb and store.verify() == []
    with pytest.raises(BBError):
        store.get_json(store.put_tree(tmp_path / "folder"))


def test_yaml_makes_no_objects(tmp_path, mark):
    file = tmp_path / "plan_schema.yaml"
    for text in (
        f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{mark}]]",
        f"!!python/object/new:os.system ['touch {mark}']",
        f"domain: !!python/object/apply:os.system ['touch {mark}']",
    ):
        file.write_text(text)
        for read in (read_yaml, load_domain):
            with pytest.raises(BBError):
                read(file if read is read_yaml else tmp_path)


def test_the_code_of_a_domains_folder_does_not_run_when_it_is_read(tmp_path, mark):
    folder = shutil.copytree(SHOP, tmp_path / "shop")
    for name in ("__init__.py", "tool_adapters.py", "conftest.py", "sitecustomize.py"):
        (folder / name).write_text(CODE.format(mark=str(mark)))
    assert load_domain(folder).name == "shop"
