"""Spreads are drawn where the decoder's intervals lie, and only where they are known."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dreamscope.engine.wire import (
    Box,
    BoxSpread,
    DetectResult,
    Ground,
    PlaceSpread,
    Point,
    PointResult,
    QueryResult,
    Reasoning,
    Result,
    Spread,
)
from dreamscope.visualizers.geometry import View
from dreamscope.visualizers.overlay import overlay
from dreamscope.visualizers.spreads import LEAST, bars, ellipses

SVG = "{http://www.w3.org/2000/svg}"
VIEW = View(1000, 500, 1.0)
X = Spread(0.5, (0.4, 0.5), (0.3, 0.6))
Y = Spread(0.5, (0.2, 0.4), (0.1, 0.7))
W = Spread(0.5, (0.18, 0.22), (0.16, 0.26))
H = Spread(0.5, (0.38, 0.42), (0.3, 0.44))


def groups(result: Result) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(overlay(result, (1000, 500)))
    return [node for node in root.iter(f"{SVG}g") if node.get("class") == "spread"]


def test_the_ellipses_fill_the_intervals() -> None:
    areas = [
        (level, area.x, area.y, area.width, area.height) for level, area in ellipses(PlaceSpread(X, Y), VIEW)
    ]
    assert areas[0] == ("95", *map(pytest.approx, (300, 50, 300, 300)))
    assert areas[1] == ("68", *map(pytest.approx, (400, 100, 100, 100)))


def test_a_certain_place_still_has_an_ellipse_one_bin_wide() -> None:
    sure = Spread(1.0, (0.5, 0.5), (0.5, 0.5))
    for _, area in ellipses(PlaceSpread(sure, sure), VIEW):
        assert (area.width, area.height) == (LEAST, LEAST)
        assert (area.x + LEAST / 2, area.y + LEAST / 2) == (500, 250)


def test_bars_show_where_the_edges_lie_for_the_decoded_centre() -> None:
    found = bars(BoxSpread(X, Y, W, H), Box(0.4, 0.2, 0.6, 0.6), VIEW)
    lines = {(bar.level, *(round(value, 3) for value in (bar.x0, bar.y0, bar.x1, bar.y1))) for bar in found}
    assert ("68", 590, 200, 610, 200) in lines  # right edge: 500 + 180/2 to 500 + 220/2
    assert ("68", 410, 200, 390, 200) in lines
    assert ("95", 580, 200, 630, 200) in lines
    assert ("68", 500, 295, 500, 305) in lines  # lower edge: 200 + 190/2 to 200 + 210/2
    assert len(lines) == 8


def test_a_box_that_the_image_cuts_off_has_no_bars_there() -> None:
    found = bars(BoxSpread(X, Y, W, H), Box(0.0, 0.2, 0.6, 0.6), VIEW)
    assert len(found) == 4
    assert all(bar.x0 == bar.x1 for bar in found)


def test_marks_carry_their_spread_with_its_sentence() -> None:
    place, box = PlaceSpread(X, Y), Box(0.4, 0.2, 0.6, 0.6, BoxSpread(X, Y, W, H))
    ground = Ground(0, 1, ((0.5, 0.5), (0.1, 0.1)), (place, place))
    for result, count in (
        (PointResult((Point(0.5, 0.5, place), Point(0.1, 0.1)), 2), 1),
        (DetectResult((box,)), 1),
        (QueryResult("", Reasoning("a", (ground,))), 2),
    ):
        found = groups(result)
        assert len(found) == count
        assert found[0].get("aria-hidden") == "true"
        assert "x 0.400–0.500, y 0.200–0.400" in (found[0].findtext(f"{SVG}title") or "")


def test_a_spread_lies_where_it_belongs_whatever_the_mark() -> None:
    (group,) = groups(PointResult((Point(0.7, 0.9, PlaceSpread(X, Y)),), 1))
    ellipse = group.findall(f"{SVG}ellipse")[1]
    assert group.get("transform") == "translate(-700,-450)"
    assert [ellipse.get(name) for name in ("cx", "cy", "rx", "ry")] == ["450", "150", "50", "50"]


def test_no_spread_no_group() -> None:
    assert groups(PointResult((Point(0.5, 0.5),), 1)) == groups(DetectResult((Box(0, 0, 1, 1),))) == []
