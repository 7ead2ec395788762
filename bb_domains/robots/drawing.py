"""A picture of a world as SVG: walls, places by name, zones, people with their walks, the robot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bb_domains.robots.floors import Place
from bb_domains.robots.grid import Cell
from bb_domains.robots.world import Person, World

SIZE = 26  # pixels a cell
_COLOURS = {
    "shelf": "#d0a97a",
    "table": "#9cc3e6",
    "bench": "#b7d7a8",
    "bay": "#d9c3e8",
    "charger": "#ffe08a",
    "door": "#ffffff",
}


def svg_text(world: World, title: str = "") -> str:
    """Return a world as an SVG document; the robot's trail is a dotted line.

    Args:
        world: what to draw.
        title: shown by browsers; empty for the layout's name.
    """
    grid = world.floor.grid
    width, height = grid.columns * SIZE, grid.rows * SIZE
    bodies = {place.body for place in world.floor.places}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="9">',
        f"<title>{escape(title or world.floor.layout)}</title>",
        '<rect width="100%" height="100%" fill="#fafafa"/>',
        *(_cell(cell, "#f6b1ab") for cell in sorted(world.zones)),
        *(_cell(cell, "#57606a") for cell in sorted(grid.walls - bodies)),
        *(_cell(cell, "#a67c52", inset=7) for cell in sorted(world.obstacles)),
        *(_place(world, place) for place in world.floor.places),
        *(_line(person.walk, "#8250df", "2 4") for person in world.people),
        *(_person(person) for person in world.people),
        _line(world.trail, "#0969da", "1 3"),
        _robot(world),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _cell(cell: Cell, fill: str, inset: int = 0) -> str:
    column, row = cell
    size = SIZE - 2 * inset
    return (
        f'<rect x="{column * SIZE + inset}" y="{row * SIZE + inset}" width="{size}" '
        f'height="{size}" fill="{fill}"/>'
    )


def _place(world: World, place: Place) -> str:
    x, y = place.body[0] * SIZE, place.body[1] * SIZE
    held = sorted(item.tag for item in world.items.values() if item.place == place.id)
    shut = place.kind == "door" and not world.is_open(place)
    fill = "#cf222e" if shut else _COLOURS[place.kind]
    said = ", ".join([place.id + (" (shut)" if shut else ""), *map(str, held)])
    mark = "•" * len(held)
    return (
        f'<g><title>{escape(said)}</title><rect x="{x + 1}" y="{y + 1}" width="{SIZE - 2}" '
        f'height="{SIZE - 2}" fill="{fill}" stroke="#57606a"/>'
        f'<text x="{x + SIZE / 2}" y="{y + 12}" text-anchor="middle">'
        f"{place.kind[0].upper()}{place.number}</text>"
        f'<text x="{x + SIZE / 2}" y="{y + 22}" text-anchor="middle">{mark}</text></g>'
    )


def _person(person: Person) -> str:
    x, y = _centre(person.cell)
    circle = f'<circle cx="{x}" cy="{y}" r="{SIZE / 3:.1f}" fill="#8250df">'
    return f"{circle}<title>person</title></circle>"


def _robot(world: World) -> str:
    robot = world.robot
    x, y = _centre(robot.cell)
    arm = f'<path d="M{x} {y} h{SIZE * 0.7:.1f}" stroke="#0969da" stroke-width="4"/>'
    held = f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="#fff"/>'
    said = f"robot, {robot.charge // 10} percent" + ", docked" * robot.docked
    return (
        f"<g><title>{said}</title>{arm if robot.arm_out else ''}"
        f'<circle cx="{x}" cy="{y}" r="{SIZE / 2 - 2:.1f}" fill="#0969da"/>'
        f"{held if robot.holding else ''}</g>"
    )


def _line(cells: Sequence[Cell], colour: str, dash: str) -> str:
    if not cells:
        return ""
    points = " ".join(_point(cell) for cell in cells)
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dash}"/>'
    )


def _point(cell: Iterable[int]) -> str:
    return ",".join(f"{at * SIZE + SIZE / 2:g}" for at in cell)


def _centre(cell: Cell) -> tuple[float, float]:
    return cell[0] * SIZE + SIZE / 2, cell[1] * SIZE + SIZE / 2
