"""Elliptical arcs of SVG paths as cubic curves; the equations are those of SVG 1.1, appendix F.6."""

from __future__ import annotations

import math

Pair = tuple[float, float]

TINY = 1e-6


def arc(start: Pair, shape: tuple[float, ...], end: Pair) -> list[tuple[Pair, ...]]:
    """Lines (one point) or cubic curves (three points) of an arc.

    `shape` is rx, ry, the rotation in degrees, and the flags for the large arc and the positive sweep.
    """
    rx, ry, turn, large, sweep = abs(shape[0]), abs(shape[1]), math.radians(shape[2]), shape[3], shape[4]
    if min(rx, ry, math.dist(start, end)) < TINY:
        return [(end,)]
    # Middle between the ends, seen from the ellipse's own axes.
    dx, dy = _turned(((start[0] - end[0]) / 2, (start[1] - end[1]) / 2), -turn)
    grow = math.sqrt(max(1.0, (dx / rx) ** 2 + (dy / ry) ** 2))
    rx, ry = rx * grow, ry * grow
    rest = (rx * ry) ** 2 - (rx * dy) ** 2 - (ry * dx) ** 2
    scale = math.sqrt(max(0.0, rest) / ((rx * dy) ** 2 + (ry * dx) ** 2))
    if large == sweep:
        scale = -scale
    cx, cy = scale * rx * dy / ry, -scale * ry * dx / rx
    first = math.atan2((dy - cy) / ry, (dx - cx) / rx)
    span = math.atan2((-dy - cy) / ry, (-dx - cx) / rx) - first
    if sweep and span < 0:
        span += 2 * math.pi
    elif not sweep and span > 0:
        span -= 2 * math.pi
    moved = _turned((cx, cy), turn)
    middle = (moved[0] + (start[0] + end[0]) / 2, moved[1] + (start[1] + end[1]) / 2)

    def on(x: float, y: float) -> Pair:
        """A place given on the unit circle."""
        place = _turned((x * rx, y * ry), turn)
        return middle[0] + place[0], middle[1] + place[1]

    count = max(1, math.ceil(abs(span) / (math.pi / 2) - 1e-9))
    step = span / count
    reach = 4 / 3 * math.tan(step / 4)
    curves: list[tuple[Pair, ...]] = []
    for nth in range(count):
        a, b = first + nth * step, first + (nth + 1) * step
        curves.append(
            (
                on(math.cos(a) - reach * math.sin(a), math.sin(a) + reach * math.cos(a)),
                on(math.cos(b) + reach * math.sin(b), math.sin(b) - reach * math.cos(b)),
                end if nth == count - 1 else on(math.cos(b), math.sin(b)),
            )
        )
    return curves


def _turned(point: Pair, angle: float) -> Pair:
    cosine, sine = math.cos(angle), math.sin(angle)
    return point[0] * cosine - point[1] * sine, point[0] * sine + point[1] * cosine
