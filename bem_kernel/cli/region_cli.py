"""`bem patch install|code|region`: the program of a machine on disk, and patches of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ImageArgument = Annotated[Path, typer.Argument(help="The machine's image.")]
ProgramArgument = Annotated[Path, typer.Argument(help="A program: text, or record if .json.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command("install")(install)
    app.command("code")(code)
    app.command("region")(region)


def install(
    image: ImageArgument,
    program: ProgramArgument,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="What is claimed of it, from now on.")
    ] = None,
) -> None:
    """Give a new machine its program; one that has run or been patched refuses.

    Example: bem patch install door.image door.asm --annotations door.claims
    """
    from bb_core.files import read_text
    from bem_kernel.errors import PatchError
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.isa.files import load_program
    from bem_kernel.memory.image import load_image, save_image
    from bem_kernel.patches.program import install_program
    from bem_kernel.patches.store import log_path
    from bem_kernel.patches.structure import structure_hash

    if log_path(image).exists():
        raise PatchError(
            "the machine has a log of patches",
            where=str(image),
            fix="propose a patch with bem patch region",
        )
    table = ExpertTable(load_image(image))
    claims = "" if annotations is None else read_text(annotations)
    install_program(table, load_program(program), claims)
    save_image(table.memory, image)
    typer.echo(f"installed; structure {structure_hash(table)[:16]}")


def code(image: ImageArgument) -> None:
    """Print the program of a machine, as text to be changed for `bem patch region`.

    Example: bem patch code door.image > door.asm
    """
    from bem_kernel.isa.disassembler import disassemble
    from bem_kernel.memory.image import load_image
    from bem_kernel.patches.program import read_program

    typer.echo(disassemble(read_program(load_image(image)).program), nl=False)


def region(
    image: ImageArgument,
    program: ProgramArgument,
    out: Annotated[Path, typer.Option("--out", help="Write the patch here.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for people.")],
    free: Annotated[
        bool,
        typer.Option("--free", help="It may do what the annotations allow, not only the same."),
    ] = False,
) -> None:
    """Propose the patch that makes a machine's program another, by its least region.

    Example: bem patch region door.image faster.asm --out faster.json --reason "fewer steps"
    """
    from bb_core.canonical import canonical_json
    from bb_core.files import write_atomic
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.isa.files import load_program
    from bem_kernel.memory.image import load_image
    from bem_kernel.patches.program import read_program
    from bem_kernel.patches.propose import propose_region
    from bem_kernel.patches.record import patch_record
    from bem_kernel.patches.region import difference

    table = ExpertTable(load_image(image))
    before = read_program(table.memory).program
    found = difference(before, load_program(program), preserves=not free)
    provenance = (("by", "bem patch region"),)
    patch = propose_region(table, found, reason=reason, provenance=provenance)
    write_atomic(out, canonical_json(patch_record(patch)) + b"\n")
    leads = f"{patch.before[:16]} -> {patch.after[:16]}"
    typer.echo(f"{found}, now {len(found.code)}: {leads}")
