"""Annotated pictures of several parts, masks as pictures, and names of files."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dreamscope.visualizers.exports import annotated, mask
from dreamscope.visualizers.exports.formats import FORMATS
from dreamscope.visualizers.exports.naming import disposition, stem
from dreamscope.visualizers.exports.things import ExportError

SVG = "{http://www.w3.org/2000/svg}"


def test_every_part_is_drawn_in_its_colour(detected, image):
    run = detected("dog", "cat")
    root = ElementTree.fromstring(annotated.scalable(run, image))
    grounds = [
        node.get("data-ground") for node in root.iter(f"{SVG}g") if "mark" in node.get("class", "").split()
    ]
    assert grounds == ["b0", "b1", "1.b0", "1.b1"]
    with Image.open(io.BytesIO(annotated.png(run, image))) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(100_000)}
    from dreamscope.visualizers.palette import colour, rgb

    assert {rgb(colour(asked.family).fill) for asked in run.asked} <= colours


def test_mask_svg_covers_what_the_png_covers(outlined):
    root = ElementTree.fromstring(mask.scalable(outlined, b""))
    assert root.get("viewBox") == "0 0 200 120"
    (path,) = root.iter(f"{SVG}path")
    assert path.get("fill-rule") == "nonzero"
    assert path.get("d", "").startswith("M50 30L130 30L130 90L50 90Z")
    assert path.findtext(f"{SVG}title") == "dog"


def test_a_mask_that_leaves_the_image_is_cut(outlined):
    from dreamscope.engine import wire

    output = wire.result_to_json(
        wire.SegmentResult("M 0 0 L 1 0 L 1 1 L 0 1 Z", wire.Box(0.5, 0.5, 1.5, 1.5))
    )
    done = replace(outlined.parts[0].events[-1], output=output)
    run = outlined.with_parts([replace(outlined.parts[0], events=(done,))])
    with Image.open(io.BytesIO(mask.png(run, b""))) as picture:
        pixels = np.asarray(picture)
    assert (pixels == 255).sum() == 100 * 60
    assert pixels[60, 100] == 255
    assert pixels[59, 100] == 0


@pytest.mark.parametrize("name", ["mask.png", "mask.svg"])
def test_without_an_outline_there_is_no_mask(name, detected):
    with pytest.raises(ExportError, match="no outline"):
        FORMATS[name].make(detected("dog"), b"")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Dogs by the fence", "Dogs-by-the-fence"),
        ("../../etc/passwd", "etc-passwd"),
        ('a"; filename="b.exe\r\nX: y', "a-filename-b-exe-X-y"),
        ("犬 größer", "犬-größer"),
        ("CON", "detect-CON"),
        ("...", "detect-"),
        ("x" * 500, "x" * 60),
    ],
)
def test_names_of_files(title, name, detected):
    run = detected("dog", title=title)
    assert stem(run) == name
    header = disposition(run, "png")
    header.encode("ascii")
    assert "\r" not in header
    assert "\n" not in header
    assert header.count('"') == 2
    assert unquote(header.rpartition("''")[2]) == f"{name}.png"


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_needs_is_what_making_it_needs(
    name, detected, pointed, outlined, grounded, captioned, image
):
    for run in (detected("dog"), pointed, outlined, grounded, captioned, replace(captioned, picture=None)):
        refusal = FORMATS[name].refusal(run)
        if refusal is None:
            assert FORMATS[name].make(run, image)
            continue
        with pytest.raises(ExportError, match=re.escape(refusal)):
            FORMATS[name].make(run, image)


def test_uncertainty_can_be_left_out(uncertain, image):
    assert b'class="spread"' in annotated.scalable(uncertain, image)
    assert b'class="spread"' not in annotated.certain_svg(uncertain, image)
    assert annotated.png(uncertain, image) != annotated.certain_png(uncertain, image)
