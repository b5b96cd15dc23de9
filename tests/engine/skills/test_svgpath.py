"""Tokens to a path: what the recorded cases do not cover, and that the pieces add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine.results import Box, Point
from dreamscope.engine.skills.svgpath import COMMANDS, PathReader, box_of, points_of, read_path


def pieces(tokens: list[str]) -> list[str]:
    reader = PathReader()
    return [*(reader.push(token) for token in tokens), reader.finish()]


def test_a_segment_leaves_when_its_last_number_is_there() -> None:
    tokens = ["M", "0", "480", "C", "1", "2", "3", "4", "5", "6", "L", "960", "0", "480", "960", "z"]
    assert pieces(tokens) == [
        *["", "", "M 0 0.5"],
        *["", "", "", "", "", "", " C 0.001 0.002 0.003 0.004 0.005 0.006"],
        *["", "", " L 1 0", "", " 0.5 1"],
        *[" z", ""],
    ]


def test_an_incomplete_curve_leaves_at_the_end() -> None:
    assert pieces(["M", "0", "0", "C", "96", "96", "192", "192", "5"])[-1] == " C 0.1 0.1 0.2 0.2"


def test_commands_with_one_number_lose_it() -> None:
    assert pieces(["M", "0", "0", "H", "480", "Z"]) == ["", "", "M 0 0", " H", "", " Z", ""]


@pytest.mark.parametrize(
    ("tokens", "error"),
    [
        (["1", "M"], "Unexpected SVG token '1'"),
        (["M", "1", "-", "L"], "Unexpected SVG token '-'"),
        (["M", "-"], "Unexpected SVG token '-'"),
        (["M", "-", "-", "1"], "invalid literal for int() with base 10: '-'"),
        (["M", "1.5"], "invalid literal for int() with base 10: '1.5'"),
    ],
)
def test_errors(tokens: list[str], error: str) -> None:
    reader = read_path([*tokens, "M", "5", "5"] if tokens[-1] != "-" else tokens)
    assert reader.error == error
    assert reader.path == ""


tokens = st.lists(
    st.one_of(
        st.sampled_from(sorted(COMMANDS)),
        st.integers(0, 1200).map(str),
        st.integers(0, 1200).map(str),
        st.just("-"),
    ),
    max_size=40,
)


@given(tokens)
def test_the_pieces_add_up_to_the_path(given_tokens: list[str]) -> None:
    reader = PathReader()
    said = "".join([*(reader.push(token) for token in given_tokens), reader.finish()])
    if reader.error is None:
        assert said == reader.path
    else:
        assert reader.path == ""


def test_boxes_and_points_are_inside() -> None:
    assert box_of([0.5, 0.5], [(0.5, 0.25)]) == Box(0.25, 0.375, 0.75, 0.625)
    assert box_of([0.0, 1.0, 0.5], [(1.0, 0.5), (0.1, 0.1)]) == Box(0.0, 0.75, 0.5, 1.0)
    assert box_of([0.5], [(1.0, 1.0)]) is None
    assert box_of([0.5, 0.5], []) is None
    assert points_of([0.25, 1.5, -1.0, 0.5, 0.75]) == [Point(0.25, 1.0), Point(0.0, 0.5)]
