"""The base rail's recipe: seeded data, resumable training, and the model that ships."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from bb_core.files import read_json
from bb_nn.base import EMBEDDED, load_base
from bb_train import base_recipe
from bb_train.base_recipe import BaseRecipe, train_base
from bb_train.base_recipe_corpus import corpus
from bb_train.base_recipe_text import documents

TINY = BaseRecipe(
    vocab_size=300, hidden_size=32, layers=2, heads=2, intermediate_size=48, context=32, batch=2,
    steps=6, warmup=2, bf16=False,
)  # fmt: skip


@pytest.fixture
def library(tmp_path):
    """A small library: two modules with prose, and a test that must be left out."""
    root = tmp_path / "library"
    (root / "test").mkdir(parents=True)
    for name in ("one", "two"):
        body = f'"""{name}: ' + "a module that says what it does, at length. " * 8 + '"""\n'
        (root / f"{name}.py").write_text(body + "".join(f"x{i} = {i}\n" for i in range(60)))
    (root / "test" / "secret.py").write_text("SECRET = 1\n" * 100)
    return root


def test_documents_and_corpus_depend_on_the_seed_alone(library):
    first, again = documents(4), documents(4)
    assert [next(first) for _ in range(50)] == [next(again) for _ in range(50)]
    assert next(documents(5)) != next(documents(4))
    texts = list(itertools.islice(corpus(1, 0.4, library), 40))
    assert texts == list(itertools.islice(corpus(1, 0.4, library), 40))
    assert not any("SECRET" in text for text in texts)


def test_made_text_keeps_its_share(library):
    texts = list(itertools.islice(corpus(1, 0.4, library), 400))
    of_library = sum(len(t) for t in texts if "a module that says" in t or "x1" in t)
    assert 0.3 < 1 - of_library / sum(map(len, texts)) < 0.5


def test_a_resumed_run_ends_as_an_unbroken_one(library, tmp_path, monkeypatch):
    monkeypatch.setattr(base_recipe, "corpus", lambda seed, share: corpus(seed, share, library))
    card = train_base(TINY, tmp_path / "whole", checkpoint_every=3)
    assert card["parameters"] > 1000
    steps = iter(range(100))
    real = base_recipe._train_step

    def interrupted(*args):
        if next(steps) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(base_recipe, "_train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_base(TINY, tmp_path / "broken", checkpoint_every=3)
    monkeypatch.setattr(base_recipe, "_train_step", real)
    train_base(TINY, tmp_path / "broken", checkpoint_every=3)
    for name in ("model.safetensors", "tokenizer.json"):
        left, right = (tmp_path / run / name for run in ("whole", "broken"))
        assert left.read_bytes() == right.read_bytes()
    assert not (tmp_path / "broken" / ".state").exists()


def test_the_embedded_base_is_what_its_card_says():
    card = read_json(EMBEDDED / "recipe.json")
    weights = (EMBEDDED / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["weights_sha256"]
    assert len(weights) <= 12_000_000
    text = (EMBEDDED / "README.md").read_text()
    assert card["weights_sha256"] in text
    assert card["corpus_sha256"] in text
    model, tokenizer = load_base()
    assert sum(p.numel() for p in model.parameters()) == card["parameters"]
    ids = tokenizer("def f(x):\n    return x + 1\n", return_tensors="pt")["input_ids"]
    loss = model(input_ids=ids, labels=ids).loss
    assert loss < 5.0, "far below the 8.3 nats of a uniform guess"
