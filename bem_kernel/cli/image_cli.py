"""`bem image`: memory images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bb_core.cli import JsonOption

if TYPE_CHECKING:
    from bem_kernel.memory.memory import Memory

app = typer.Typer(no_args_is_help=True, help="Memory images of the machine.")

ImageArgument = Annotated[Path, typer.Argument(help="The image.")]
RootOption = Annotated[
    str | None, typer.Option("--root", help="A root kept elsewhere; the image must have it.")
]


@app.command("save")
def image_save(
    image: ImageArgument,
    folder: Annotated[
        Path, typer.Option("--from", help="Folder with machine.json and SEGMENT.NAME.npy files.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Make an image from a folder of arrays and print its root.

    machine.json holds the sizes, such as {"config": {"n_bits": 256, "n_shared_bits": 4096}};
    SHARED.theta.npy fills the parameters, EXPERT.table.npy makes a region of that name.

    Example: bem image save door.image --from door
    """
    from bem_kernel.memory.image import save_image
    from bem_kernel.memory.image_folder import load_folder

    memory = load_folder(folder)
    root = save_image(memory, image)
    if json_output:
        typer.echo(json.dumps({"root": root, **_contents(memory)}))
    else:
        typer.echo(root)


@app.command("load")
def image_load(
    image: ImageArgument,
    root: RootOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend words with one flipped bit.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the regions into this folder, as arrays.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Load an image, show what it holds, and write it out if asked.

    The folder is what `bem image save --from` reads, so a repaired image can be saved again.

    Example: bem image load door.image --repair --out door
    """
    from bem_kernel.memory.image import load_image
    from bem_kernel.memory.image_folder import save_folder

    memory = load_image(image, root=root, repair=repair)
    if out is not None:
        save_folder(memory, out)
    contents = _contents(memory)
    if json_output:
        typer.echo(json.dumps(contents))
        return
    sizes = contents["config"]
    typer.echo(" ".join(f"{name}={size}" for name, size in sizes.items()))
    for entry in contents["regions"]:
        shape = "x".join(str(size) for size in entry["shape"]) or "1"
        place = f"{entry['segment']}.{entry['name']}"
        typer.echo(f"{place:32} {entry['dtype']} {shape}{' protected' * entry['protected']}")


@app.command("verify")
def image_verify(
    image: ImageArgument, root: RootOption = None, json_output: JsonOption = False
) -> None:
    """Check an image; exit 1 and name the first bad segment and block if it is damaged.

    Example: bem image verify door.image
    """
    from bem_kernel.memory.image import verify_image

    found = verify_image(image, root)
    segment = None if found.segment is None else found.segment.name
    if json_output:
        record = {
            "ok": found.ok,
            "root": found.root or None,
            "segment": segment,
            "block": found.block,
            "reason": found.reason,
        }
        typer.echo(json.dumps(record))
    elif found.ok:
        typer.echo(f"undamaged; root {found.root}")
    else:
        place = "header" if segment is None else segment
        place += "" if found.block is None else f" block {found.block}"
        typer.echo(f"{place}: {found.reason}")
    if not found.ok:
        raise typer.Exit(1)


def _contents(memory: Memory) -> dict[str, Any]:
    """Sizes and directory of a memory, as plain data."""
    from bem_kernel.memory.configuration import config_record

    regions = [
        {
            "segment": entry.segment.name,
            "name": entry.name,
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "protected": entry.protected,
        }
        for entry in memory.directory()
    ]
    return {"config": config_record(memory.config), "regions": regions}
