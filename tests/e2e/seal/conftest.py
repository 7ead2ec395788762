"""Tiny models, made once per session."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that makes tiny models; a path, because tests are no packages."""
    spec = importlib.util.spec_from_file_location(
        "tiny_model", Path(__file__).parents[2] / "unit" / "seal" / "tiny_model.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tokenizer(tiny):
    """No chat template, no padding token."""
    return tiny.make_tokenizer()


@pytest.fixture(scope="session")
def speaker(tiny, tokenizer):
    """(model, tokenizer): lines of words."""
    return tiny.make_model(tokenizer), tokenizer


@pytest.fixture(scope="session")
def garbler(tiny, tokenizer):
    """(model, tokenizer): any bytes."""
    return tiny.make_model(tokenizer, speaks=False), tokenizer


@pytest.fixture(scope="session")
def model_folder(tiny, tmp_path_factory) -> Path:
    """A folder to load the speaking model from."""
    return tiny.save_model(tmp_path_factory.mktemp("model"))
