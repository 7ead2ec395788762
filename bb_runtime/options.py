"""Options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Folder of a trained rail; the base alone if none.")
]
BaseOption = Annotated[
    str | None, typer.Option("--base", help="Base rail: folder or id; the rail's own if none.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, or auto.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")]
BudgetOption = Annotated[
    int, typer.Option("--max-new-tokens", min=1, help="Budget of an answer, in tokens.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the sampling.")]

DomainOption = Annotated[str, typer.Option("--domain", help="Installed domain, or its folder.")]

DEFAULT_BUDGET = 1024
DEFAULT_DOMAIN = "api_json"
