"""Results as SVG files: parseable, self-contained, marks where they belong."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from PIL import Image

from dreamscope.engine.wire import (
    Box,
    CaptionResult,
    DetectResult,
    GazeResult,
    Ground,
    Point,
    PointResult,
    QueryResult,
    Reasoning,
    SegmentResult,
)
from dreamscope.visualizers.overlay import data_uri, overlay

SVG = "{http://www.w3.org/2000/svg}"


def marks(document: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(document)
    return [node for node in root.iter(f"{SVG}g") if "mark" in node.get("class", "").split()]


def test_grounded_points_share_colour_and_number() -> None:
    grounding = (Ground(0, 1, ((0.1, 0.2), (0.3, 0.4))), Ground(2, 3, ((0.5, 0.5),)))
    found = marks(overlay(QueryResult("2", Reasoning("a b", grounding)), (640, 480)))
    assert [mark.get("data-ground") for mark in found] == ["g0", "g0", "g1"]
    assert [mark.get("transform") for mark in found] == [
        "translate(100 150)",
        "translate(300 300)",
        "translate(500 375)",
    ]
    assert found[0].get("style") == found[1].get("style") != found[2].get("style")
    assert [mark.findtext(f".//{SVG}text") for mark in found] == ["1", "1", "2"]


def test_box_is_drawn_at_its_place_with_its_name() -> None:
    (mark,) = marks(overlay(DetectResult((Box(0.1, 0.2, 0.5, 0.6),)), (1000, 500), name="dog"))
    outline = mark.find(f".//{SVG}rect")
    assert outline is not None
    assert [outline.get(key) for key in ("x", "y", "width", "height")] == ["100", "100", "400", "200"]
    assert mark.findtext(f".//{SVG}text") == "dog 1"
    assert mark.get("data-ground") == "b0"


def test_a_box_without_area_can_be_seen() -> None:
    (mark,) = marks(overlay(DetectResult((Box(0.5, 0.5, 0.5, 0.5),)), (500, 500)))
    outline = mark.find(f".//{SVG}rect")
    assert outline is not None
    assert float(outline.get("width", "0")) > 0


def test_title_counts_the_places() -> None:
    document = overlay(PointResult((Point(0, 0), Point(1, 1)), 2), (10, 10), name="cup")
    assert ElementTree.fromstring(document).findtext(f"{SVG}title") == "Image with 2 places marked: cup"


def test_text_only_results_have_no_marks() -> None:
    assert marks(overlay(CaptionResult("A dog."), (10, 10))) == []
    assert marks(overlay(QueryResult("Yes"), (10, 10))) == []


def test_image_is_embedded() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG")
    uri = data_uri(buffer.getvalue(), "image/png")
    document = overlay(PointResult((), 0), (4, 4), image=uri)
    image = ElementTree.fromstring(document).find(f"{SVG}image")
    assert image is not None
    assert image.get("{http://www.w3.org/1999/xlink}href") == uri


@pytest.mark.parametrize(
    "image",
    ["https://example.org/a.png", "data:image/svg+xml;base64,AAAA", 'data:image/png;base64,A"x', "a.png"],
)
def test_nothing_outside_the_file_is_referred_to(image: str) -> None:
    with pytest.raises(ValueError, match="data URI"):
        overlay(CaptionResult(""), (4, 4), image=image)


@pytest.mark.parametrize("size", [(1, 1), (12_000, 40), (40, 12_000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    result = DetectResult((Box(0, 0, 1, 1), Box(0.5, 0.5, 0.6, 0.6)))
    assert len(marks(overlay(result, size, name="line"))) == 2


def test_a_mask_lies_in_its_box_and_carries_its_opacity_as_a_number() -> None:
    result = SegmentResult("M 0 0 C 1 0 1 1 0 1 Z", Box(0.1, 0.2, 0.5, 0.6))
    (mark,) = marks(overlay(result, (1000, 500), name="dog"))
    (fill,) = [node for node in mark.iter(f"{SVG}path") if node.get("class") == "mask-fill"]
    assert fill.get("d") == "M100 100C500 100 500 300 100 300Z"
    assert (fill.get("fill-opacity"), fill.get("fill-rule")) == ("0.35", "nonzero")
    assert mark.findtext(f".//{SVG}text") == "dog"


def test_a_gaze_has_its_line_only_if_it_is_known_from_where() -> None:
    result = GazeResult(Point(0.75, 0.25))
    for eye, lines in ((None, 0), ((0.25, 0.5), 1)):
        (mark,) = marks(overlay(result, (640, 480), eye=eye))
        assert sum(node.get("class") == "gaze-line" for node in mark.iter(f"{SVG}path")) == lines
    assert marks(overlay(GazeResult(), (640, 480), eye=(0.5, 0.5))) == []
