"""Point, detect and caption: what each decision leads to."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.skills.base import Step
from dreamscope.engine.skills.detect import clamp

A = 21 + ord("a")


def test_openings(build: Any) -> None:
    assert build("point", object="a").opening() == [1, 2581, 2, 21 + 32, A, 3]
    assert build("detect", object="a").opening() == [1, 7235, 476, 2, 21 + 32, A, 3]
    assert build("caption", length="short").opening() == [1, 32708, 2, 12492, 3]
    placed = build("point", object="a", spatial_refs=((0.5, 0.25),)).opening()
    assert placed == [1, 2581, 2, Coord(0.5), Coord(0.25), 21 + 32, A, 3]


def test_a_point_is_two_coordinates(build: Any) -> None:
    skill = build("point", object="a")
    assert skill.step() == Step("text")
    assert skill.consume(Text(99)).feed == ()  # any id but the end means another object
    assert skill.step() == Step("coord")
    assert skill.consume(Coord(0.25)).feed == (Coord(0.25),)
    outcome = skill.consume(Coord(0.5))
    assert outcome.feed == (Coord(0.5),)
    (event,) = outcome.events
    assert (event.index, event.x, event.y) == (0, 0.25, 0.5)
    assert skill.consume(Text(0)).feed == ()
    assert skill.finish_reason == "stop"
    assert skill.result() == wire.PointResult((wire.Point(0.25, 0.5),), 1)


def test_a_box_announces_its_centre_first(build: Any) -> None:
    skill = build("detect", object="a", max_objects=1)
    skill.consume(Text(5))
    skill.consume(Coord(0.25))
    outcome = skill.consume(Coord(0.5))
    assert [event.wire_type for event in outcome.events] == ["box.center"]
    assert skill.step() == Step("size")
    outcome = skill.consume(Size(0.75, 0.25))
    assert outcome.feed == ()
    (event,) = outcome.events
    assert (event.x_min, event.y_min, event.x_max, event.y_max) == (0.0, 0.375, 0.625, 0.625)
    assert skill.decoded == [wire.Box(-0.125, 0.375, 0.625, 0.625)]
    assert skill.finish_reason == "length"


def test_an_incomplete_object_is_dropped(build: Any, replay: Any) -> None:
    skill = build("detect", object="a")
    replay(skill, [5, 5], [Coord(0.5), Coord(0.5), Size(0.5, 0.5)] + [Coord(0.1)] * 2 + [Size(0.1, 0.1)])
    skill.consume(Text(5))
    skill.consume(Coord(0.5))
    assert skill.close("length") == ()
    assert len(skill.result().objects) == 2
    assert skill.output_tokens == 7


@given(st.integers(1, 6), st.integers(1, 8), st.booleans())
def test_the_number_of_objects_is_bounded(
    build: Any, replay: Any, limit: int, wanted: int, sized: bool
) -> None:
    skill = build("detect" if sized else "point", object="a", max_objects=limit)
    one = [Coord(0.5), Coord(0.25), *([Size(0.5, 0.5)] if sized else [])]
    run = replay(skill, [5] * wanted + [0], one * wanted)
    objects = skill.result().objects if sized else skill.result().points
    assert len(objects) == min(limit, wanted)
    assert skill.finish_reason == ("stop" if wanted < limit else "length")
    assert len(run.fed) <= skill.max_feed


bins = st.integers(0, 1023)


@given(bins, bins, bins, bins)
def test_a_clamped_box_lies_in_the_image(x: int, y: int, w: int, h: int) -> None:
    size = Size.from_bins(w, h)
    box = wire.Box(x / 1024 - size.w / 2, y / 1024 - size.h / 2, x / 1024 + size.w / 2, y / 1024 + size.h / 2)
    inside = clamp(box)
    assert 0 <= inside.x_min < inside.x_max <= 1
    assert 0 <= inside.y_min < inside.y_max <= 1


def test_caption_streams_words(build: Any, replay: Any) -> None:
    skill = build("caption")
    run = replay(skill, [21 + byte for byte in b"A cat."] + [0])
    assert [event.delta for event in run.of(wire.TextDelta)] == ["A ", "cat."]
    assert skill.result() == wire.CaptionResult("A cat.")
    assert (skill.output_tokens, skill.reasoning_tokens) == (6, 0)
