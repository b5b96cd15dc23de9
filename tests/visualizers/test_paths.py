"""Path data: whatever comes in, numbers come out; every command means what SVG says."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.visualizers.paths import LARGEST, flattened, parse, written

HOSTILE = (
    'M 0 0 L 1 1" onload="alert(1)',
    "M 0 0 L 1 1</path><script>alert(1)</script>",
    "M 0 0 L 1e999 1",
    "M 0 0 L nan inf",
    "M 0 0 L ١ ٢",
    "url(#x)",
    "L 0 0 L 1 1",
    "",
)


def same(point: tuple[float, float]) -> tuple[float, float]:
    return point


def data(text: str) -> str:
    return written(parse(text), same)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("M 0 0.5 L 1 0", "M0 0.5L1 0Z"),
        ("m .1.2 .3-.1z", "M0.1 0.2L0.4 0.1Z"),
        ("M0,0 1,0 1,1", "M0 0L1 0L1 1Z"),
        ("M 0 0 H 0.5 1 V 0.25 h -0.5 v 0.5", "M0 0L0.5 0L1 0L1 0.25L0.5 0.25L0.5 0.75Z"),
        ("M 0 0 L 1 0 Z L 1 1 Z", "M0 0L1 0ZM0 0L1 1Z"),
        ("M 0 0 L 1 0 M 0.5 0.5 L 1 1", "M0 0L1 0ZM0.5 0.5L1 1Z"),
        ("M 0 0 C 0 1 1 1 1 0 S 2 -1 2 0", "M0 0C0 1 1 1 1 0C1 -1 2 -1 2 0Z"),
        ("M 0 0 S 1 1 1 0", "M0 0C0 0 1 1 1 0Z"),
        ("M 0 0 Q 0.6 0.6 1.2 0 T 2.4 0", "M0 0C0.4 0.4 0.8 0.4 1.2 0C1.6 -0.4 2 -0.4 2.4 0Z"),
        ("M 0 0 L 1 1 T 2 0", "M0 0L1 1C1 1 1.33 0.67 2 0Z"),
        ("M 0 0", ""),
        ("M 0 0 L 1 0 Z 0.5 0.5", "M0 0L1 0Z"),
        ("M 0 0 L 1 1 A 1 1 0 0.5 1 0 0", "M0 0L1 1Z"),
        ("M 0 0 A 0 1 0 0 1 1 1", "M0 0L1 1Z"),
    ],
)
def test_meaning(text: str, meant: str) -> None:
    assert data(text) == meant


def test_what_comes_before_an_error_stands() -> None:
    assert data("M 0 0 L 1 0 L 1 1 <script>") == "M0 0L1 0L1 1Z"
    assert data(f"M 0 0 L 1 0 L {LARGEST * 2} 1") == "M0 0L1 0Z"


@pytest.mark.parametrize("text", HOSTILE)
def test_only_path_data_comes_out(text: str) -> None:
    assert re.fullmatch(r"[MLCZ0-9 .-]*", data(text))


@settings(deadline=None)
@given(st.text(alphabet="MmLlHhVvCcSsQqTtAaZz0123456789.-+eE, \t<\"'", max_size=80))
def test_any_string_gives_data_that_reads_the_same_again(text: str) -> None:
    # Written with two decimals, so the first writing rounds and the second must change nothing.
    again = written(parse(data(text)), same)
    assert re.fullmatch(r"[MLCZ0-9 .-]*", data(text))
    assert again == data(text) or max(map(float, re.findall(r"[0-9.]+", data(text)))) > LARGEST


@pytest.mark.parametrize(("large", "sweep", "low"), [(0, 1, 0.0), (0, 0, 0.5), (1, 1, 0.0), (1, 0, 0.5)])
def test_a_half_circle_lies_on_its_circle(large: int, sweep: int, low: float) -> None:
    (corners,) = flattened(parse(f"M 0 0.5 A 0.5 0.5 0 {large} {sweep} 1 0.5"), same)
    assert all(math.dist(corner, (0.5, 0.5)) == pytest.approx(0.5, abs=1e-3) for corner in corners)
    assert min(y for _, y in corners) == pytest.approx(low, abs=1e-3)


@pytest.mark.parametrize("turn", [0, 30, 90, -400])
@pytest.mark.parametrize("flags", ["0 0", "0 1", "1 0", "1 1"])
def test_an_arc_lies_on_its_ellipse(turn: int, flags: str) -> None:
    (corners,) = flattened(parse(f"M 0.2 0.3 A 0.5 0.25 {turn} {flags} 0.6 0.4"), same)
    assert corners[-1] == pytest.approx((0.6, 0.4))
    # Back in the ellipse's axes it is a circle: all points are as far from one centre.
    angle = -math.radians(turn)
    seen = [
        (
            (x * math.cos(angle) - y * math.sin(angle)) / 0.5,
            (x * math.sin(angle) + y * math.cos(angle)) / 0.25,
        )
        for x, y in corners
    ]
    centre = circle(seen[0], seen[len(seen) // 2], seen[-1])
    assert all(math.dist(point, centre) == pytest.approx(1, abs=2e-3) for point in seen)


def circle(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> tuple[float, float]:
    """Centre of the circle through three points."""
    d = 2 * (a[0] * (b[1] - c[1]) + b[0] * (c[1] - a[1]) + c[0] * (a[1] - b[1]))
    squares = [x * x + y * y for x, y in (a, b, c)]
    x = squares[0] * (b[1] - c[1]) + squares[1] * (c[1] - a[1]) + squares[2] * (a[1] - b[1])
    y = squares[0] * (c[0] - b[0]) + squares[1] * (a[0] - c[0]) + squares[2] * (b[0] - a[0])
    return x / d, y / d


def test_flattening_follows_the_curve() -> None:
    (corners,) = flattened(parse("M 0 0 C 0 1 1 1 1 0"), lambda point: (point[0] * 100, point[1] * 50))
    assert corners[0] == (0, 0)
    assert corners[-1] == (100, 0)
    assert max(y for _, y in corners) == pytest.approx(37.5)
