"""Draw a simulated building, or serve its robot as a rosbridge server would.

python -m bb_domains.robots draw --out building.svg
python -m bb_domains.robots serve --port 9090
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)

_Seed = Annotated[int, typer.Option("--seed", help="Makes the building.")]
_Layout = Annotated[str, typer.Option("--layout", help="Kind of building.")]
_Policy = Annotated[str, typer.Option("--policy", help="Rules in force.")]


@app.command()
def draw(
    out: Annotated[Path, typer.Option("--out", help="SVG file to write.")],
    split: Annotated[
        str, typer.Option("--split", help="Draw what a request of this split does.")
    ] = "",
    seed: _Seed = 0,
    layout: _Layout = "rooms",
    policy: _Policy = "standard",
) -> None:
    """Draw a building, or the trail of a request's plan through its building.

    Example: python -m bb_domains.robots draw --split train --seed 3 --out trail.svg
    """
    from bb_core.files import write_atomic
    from bb_domains import robots
    from bb_domains.robots.drawing import svg_text
    from bb_domains.robots.world import make_world
    from bb_domains.simulation import try_plan

    if not split:
        write_atomic(out, svg_text(make_world(seed, layout, policy)))
        return
    (request,) = robots.requests(split, 1, seed)
    simulator = robots.simulator(request)
    try_plan(simulator, request.plan)
    write_atomic(out, svg_text(simulator.world, request.text))
    typer.echo(request.text)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", help="0 lets the system choose.")] = 9090,
    action_s: Annotated[
        float, typer.Option("--action-s", help="Seconds that an action takes.")
    ] = 0,
    seed: _Seed = 0,
    layout: _Layout = "rooms",
    policy: _Policy = "standard",
) -> None:
    """Serve a simulated robot on 127.0.0.1 until interrupted.

    Example: python -m bb_domains.robots serve --layout warehouse --port 9090
    """
    from bb_domains import robots
    from bb_domains.robots.bridge_server import BridgeServer, serving
    from bb_domains.robots.simulated import RobotSimulator
    from bb_domains.robots.world import make_world

    robot = RobotSimulator(make_world(seed, layout, policy))
    server = BridgeServer(robot, robots.plan_schema(), action_s)
    with serving(server, port=port) as chosen:
        typer.echo(f"ws://127.0.0.1:{chosen}")
        threading.Event().wait()


if __name__ == "__main__":
    app()
