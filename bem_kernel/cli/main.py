"""The `bem` command: logs, programs, experts and images of the machine."""

from __future__ import annotations

import typer

from bb_core.cli import run_app
from bem_kernel.cli import (
    bench_cli,
    check_cli,
    expert_cli,
    image_cli,
    learn_cli,
    log_cli,
    optimise_cli,
    patch_cli,
    program_cli,
    prove_cli,
)

app = typer.Typer(no_args_is_help=True, help="The Boolean Expert Machine.")
app.add_typer(log_cli.app, name="log")
app.add_typer(expert_cli.app, name="expert")
app.add_typer(image_cli.app, name="image")
app.add_typer(bench_cli.app, name="bench")
app.add_typer(patch_cli.app, name="patch")
program_cli.add_commands(app)
prove_cli.add_commands(app)
check_cli.add_commands(app)
optimise_cli.add_commands(app)
learn_cli.add_commands(app)


def main() -> None:
    """Run the `bem` command and exit the process."""
    run_app(app, "bem")
