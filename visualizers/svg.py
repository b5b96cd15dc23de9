"""Small makers of svgwrite elements: numbers written short, every string cleaned, svgwrite escapes."""

from __future__ import annotations

from typing import Any

from svgwrite import container, path, shapes, text

from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.geometry import Rect, number

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"


def group(**attributes: str | float) -> Any:
    """`<g>`; attribute names use `_` for `-` and a trailing `_` where Python reserves the word."""
    return container.Group(debug=False, **_written(attributes))


def circle(radius: float, **attributes: str | float) -> Any:
    """`<circle>` around the origin."""
    return shapes.Circle(("0", "0"), number(radius), debug=False, **_written(attributes))


def ellipse(area: Rect, **attributes: str | float) -> Any:
    """`<ellipse>` that fills `area`."""
    centre = (number(area.x + area.width / 2), number(area.y + area.height / 2))
    radii = (number(area.width / 2), number(area.height / 2))
    return shapes.Ellipse(centre, radii, debug=False, **_written(attributes))


def rect(area: Rect, **attributes: str | float) -> Any:
    """`<rect>` over `area`."""
    place, size = (number(area.x), number(area.y)), (number(area.width), number(area.height))
    return shapes.Rect(place, size, debug=False, **_written(attributes))


def outline(commands: str, **attributes: str | float) -> Any:
    """`<path>` with the data `commands`."""
    return path.Path(commands, debug=False, **_written(attributes))


def words(content: str, x: float, y: float, size: float, **attributes: str | float) -> Any:
    """`<text>` centred on (`x`, `y`)."""
    return text.Text(
        clean(content),
        insert=(number(x), number(y)),
        debug=False,
        font_family=FONT,
        font_size=number(size),
        font_weight="600",
        text_anchor="middle",
        dominant_baseline="central",
        **_written(attributes),
    )


def _written(attributes: dict[str, str | float]) -> dict[str, str]:
    return {name: number(v) if isinstance(v, (int, float)) else clean(v) for name, v in attributes.items()}
