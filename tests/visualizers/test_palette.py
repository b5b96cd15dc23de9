"""Ten colours that stay apart for every kind of colour vision and stand out from any background."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dreamscope.visualizers.palette import (
    DARK,
    LIGHT,
    PALETTE,
    colour,
    contrast,
    families_of,
    family_of,
    rgb,
)

# Full dichromacy on linear RGB, Machado, Oliveira and Fernandes 2009.
VISION = {
    "normal": np.eye(3),
    "protan": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "deutan": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "tritan": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}
# Linear sRGB to CIE XYZ (D65), as IEC 61966-2-1 gives it.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(code: str, vision: str) -> np.ndarray:
    """CIELAB [3] of a colour as seen with `vision`."""
    value = np.array(rgb(code)) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISION[vision] @ linear, 0, 1)
    ratio = XYZ @ seen / (XYZ @ np.ones(3))
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_every_pair_is_told_apart(vision: str) -> None:
    seen = [lab(entry.fill, vision) for entry in PALETTE]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 12


def test_there_are_ten_and_they_repeat() -> None:
    assert len({entry.fill for entry in PALETTE}) == 10
    assert colour(13) is PALETTE[3]


@pytest.mark.parametrize("entry", PALETTE, ids=lambda entry: entry.fill)
def test_halo_and_ink_contrast_with_the_fill(entry) -> None:
    assert {entry.light, entry.dark} == {LIGHT, DARK}
    assert contrast(entry.fill, entry.halo) >= 4.5
    assert contrast(entry.fill, entry.ink) >= 4.5


@pytest.mark.parametrize("entry", PALETTE, ids=lambda entry: entry.fill)
def test_fill_or_halo_stands_out_from_any_grey(entry) -> None:
    greys = (f"#{level:02x}{level:02x}{level:02x}" for level in range(256))
    assert min(max(contrast(entry.fill, grey), contrast(entry.halo, grey)) for grey in greys) >= 2


def test_contrast_spans_1_to_21() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#336699", "#336699") == 1


def test_other_notations_are_refused() -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        rgb("red")


def test_the_family_of_a_name_never_changes() -> None:
    assert [family_of(name) for name in ("dog", "cat", "red car", "犬")] == [5, 7, 4, 0]
    assert family_of("  DOG ") == family_of("dog")
    assert family_of("red  car") == family_of("Red car")


def test_a_family_that_is_taken_is_passed_over() -> None:
    first = family_of("dog")
    assert family_of("dog", (first,)) == (first + 1) % 10
    assert family_of("dog", (first + 10,)) == (first + 1) % 10
    assert family_of("dog", set(range(10)) - {3}) == 3
    assert family_of("dog", range(10)) == first


def test_objects_of_one_run_differ_while_there_are_colours() -> None:
    assert len(set(families_of(["dog"] * 10))) == 10
    assert families_of(["", " "]) == (0, 0)
    assert families_of(["dog", "cat"])[0] == family_of("dog")
