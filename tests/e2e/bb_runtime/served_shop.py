"""A server of its own process: a tiny untrained model, and the shop of the unit tests.

Its `get_order` answers only once a file `go` exists; a file named like a tool makes that tool
fail; each call is a line of the file `calls`. A file `keys.yaml` says who may ask.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bb_core.store import Store
from bb_domains.domain import load_domain
from bb_domains.tools import ToolFailed
from bb_runtime.engine import Engine
from bb_runtime.http.app import create_app
from bb_runtime.http.keys import load_keys
from bb_runtime.http.limits import ServerLimits
from bb_runtime.http.planning import Planner
from bb_runtime.http.serve import answered_hosts, serve_app

SHOP = Path(__file__).parents[2] / "unit" / "bb_runtime" / "shop"


class Service:
    """What stands behind the tools."""

    def call(self, tool, args, idempotency_key=None):
        with Path("calls").open("a") as calls:
            calls.write(f"{tool}\n")
        if tool == "get_order":
            while not Path("go").exists():
                threading.Event().wait(0.01)
        if Path(tool).exists():
            raise ToolFailed(tool, 409, "<b>out of service</b>")
        if tool == "get_order":
            return {"id": "o1042", "total": 100.0, "email": "ana@example.com"}
        return {"ok": True}


@contextmanager
def opened(_domain) -> Iterator[Service]:
    yield Service()


def make_engine() -> Engine:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["a refund"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=None,  # a text ends by its budget only
    )
    return Engine(LlamaForCausalLM(config), tokenizer, "tiny")


def main() -> None:
    engine = make_engine()
    planner = Planner(engine, [load_domain(SHOP)], Path("plans.ledger"), opened=opened)
    limits = ServerLimits(max_new_tokens=4000, drain_s=20, hosts=answered_hosts("127.0.0.1"))
    file = Path("keys.yaml")
    keys = load_keys(file) if file.exists() else None
    app = create_app(engine, limits, planner=planner, keys=keys, feedback=Store("store"))
    serve_app(app, "tiny", ("127.0.0.1", 0))


if __name__ == "__main__":
    sys.exit(main())
