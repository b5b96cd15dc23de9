"""The query skill: phases, masks, budgets and the events of grounded spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.skills.base import Budget, Step

OPEN, CLOSE, COORD, ANSWER, EOS = 7, 9, 5, 3, 0


def chars(text: str) -> list[int]:
    return [21 + byte for byte in text.encode()]


def coords(*values: float) -> list[Coord]:
    return [Coord(value) for value in values]


def test_masks_begin_with_the_second_decision(build: Any) -> None:
    skill = build("query", question="q", reasoning=True)
    assert skill.step() == Step("text")
    skill.consume(Text(100))
    assert skill.step() == Step("text", suppressed=frozenset({EOS, 6}))
    skill.consume(Text(ANSWER))
    assert skill.step() == Step("text")
    skill.consume(Text(100))
    assert skill.step() == Step("text", suppressed=frozenset({ANSWER}))


def test_a_coordinate_is_read_before_anything_is_fed(build: Any) -> None:
    skill = build("query", question="q", reasoning=True)
    outcome = skill.consume(Text(COORD))
    assert outcome.feed == ()
    assert skill.step() == Step("coord")
    assert skill.consume(Coord(0.5)).feed == (Coord(0.5),)


def test_openings(build: Any) -> None:
    question = chars("q")
    assert build("query", question="q").opening() == [1, 15381, 2, *question, 3, 3]
    assert build("query", question="q", reasoning=True).opening() == [1, 15381, 2, *question, 3, 4]
    refs = ((0.25, 0.5), (0.0, 0.25, 0.5, 0.75))
    items = build("query", question="q", reasoning=True, spatial_refs=refs).opening()
    assert items[3:8] == [Coord(0.25), Coord(0.5), Coord(0.25), Coord(0.5), Size(0.5, 0.5)]


def test_spans_stream_while_the_model_reasons(build: Any, replay: Any) -> None:
    skill = build("query", question="q", reasoning=True)
    decisions = [*chars("I "), OPEN, COORD, COORD, *chars("é!"), CLOSE, *chars("."), ANSWER, *chars("1"), EOS]
    run = replay(skill, decisions, coords(0.25, 0.5))
    assert [wire.to_json(event) | {"type": event.wire_type} for event in run.events] == [
        {"type": kind, "request_id": "", "seq": -1, "t": 0.0, **fields}
        for kind, fields in [
            ("reasoning.delta", {"delta": "I", "n": 1}),
            ("reasoning.delta", {"delta": " ", "n": 1}),
            ("span.open", {"index": 0, "start": 2}),
            ("span.point", {"index": 0, "x": 0.25, "y": 0.5}),
            ("reasoning.delta", {"delta": "é", "n": 5}),  # marker, two coordinates, two bytes
            ("reasoning.delta", {"delta": "!", "n": 1}),
            ("span.close", {"index": 0, "end": 4, "points": [[0.25, 0.5]]}),
            ("reasoning.delta", {"delta": ".", "n": 2}),
            (
                "reasoning.done",
                {
                    "text": "I é!.",
                    "grounding": [{"start_idx": 2, "end_idx": 4, "points": [[0.25, 0.5]]}],
                },
            ),
            ("text.delta", {"delta": "1", "n": 1}),
        ]
    ]
    assert skill.output_tokens == 11
    assert skill.reasoning_tokens == 10


def test_a_span_without_points_is_dropped_and_its_index_used_again(build: Any, replay: Any) -> None:
    skill = build("query", question="q", reasoning=True)
    run = replay(skill, [OPEN, *chars("a"), CLOSE, OPEN, COORD, COORD, *chars("b"), ANSWER], coords(0, 0.5))
    closes = [(e.index, e.end, e.points) for e in run.of(wire.SpanClose)]
    assert closes == [(0, 1, ()), (0, 2, ((0, 0.5),))]
    assert [e.index for e in run.of(wire.SpanOpen)] == [0, 0]
    assert len(skill.result().reasoning.grounding) == 1


def test_coordinates_outside_markers_open_their_span_when_the_pair_is_complete(
    build: Any, replay: Any
) -> None:
    skill = build("query", question="q", reasoning=True)
    run = replay(skill, [*chars("ab"), COORD, COORD, CLOSE, ANSWER], coords(0.1, 0.2))
    kinds = [event.wire_type for event in run.events]
    assert kinds[2:5] == ["span.open", "span.point", "span.close"]
    assert run.of(wire.SpanOpen)[0].start == 0
    assert skill.result().reasoning.grounding == (wire.Ground(0, 2, ((0.1, 0.2),)),)


def test_joint_budget_is_shared_by_reasoning_and_answer(build: Any, replay: Any) -> None:
    skill = build("query", question="q", reasoning=True, max_tokens=4)
    run = replay(skill, [*chars("ab"), ANSWER, *chars("cdef")])
    assert skill.finish_reason == "length"
    assert skill.result() == wire.QueryResult("cd", wire.Reasoning("ab"))
    assert run.text(wire.TextDelta) == "cd"


def test_joint_budget_may_end_within_the_reasoning(build: Any, replay: Any) -> None:
    skill = build("query", question="q", reasoning=True, max_tokens=3)
    run = replay(skill, [OPEN, COORD, COORD], coords(0.5, 0.25))
    assert skill.finish_reason == "length"
    assert skill.result() == wire.QueryResult("", wire.Reasoning("", (wire.Ground(0, 0, ((0.5, 0.25),)),)))
    assert [event.wire_type for event in run.events[-2:]] == ["span.close", "reasoning.done"]


def test_closing_hands_out_what_was_held_back(build: Any, replay: Any) -> None:
    skill = build("query", question="q")
    run = replay(skill, chars("two words"))
    assert run.text(wire.TextDelta) == "two "
    (rest,) = skill.close("length")
    assert (rest.delta, rest.n) == ("words", 5)
    assert skill.close("stop") == ()
    assert skill.finish_reason == "length"


def test_closing_within_the_reasoning_closes_the_open_span(build: Any, replay: Any) -> None:
    skill = build("query", question="q", reasoning=True)
    replay(skill, [OPEN, COORD, COORD, *chars("x"), COORD], coords(0.5, 0.25, 0.75))
    kinds = [event.wire_type for event in skill.close("length")]
    assert kinds == ["span.close", "reasoning.done"]
    assert skill.finish_reason == "length"
    assert skill.result().reasoning.grounding == (wire.Ground(0, 1, ((0.5, 0.25),)),)


decisions = st.lists(
    st.one_of(st.sampled_from([OPEN, CLOSE, COORD, COORD]), st.integers(7, 276)), min_size=1, max_size=60
)


@given(decisions, st.integers(1, 80), st.data())
def test_events_rebuild_the_result(build: Any, replay: Any, ids: list[int], limit: int, data: Any) -> None:
    numbers = iter(data.draw(st.lists(st.floats(0, 1), min_size=60, max_size=60)))
    skill = build("query", question="q", reasoning=True, max_tokens=limit)
    run = replay(skill, [*ids, ANSWER, *ids[:3], EOS], (Coord(value) for value in numbers))

    text, answer, spans, marks = "", "", [], {}
    for event in run.events:
        if isinstance(event, wire.ReasoningDelta):
            assert event.delta
            text += event.delta
        elif isinstance(event, wire.SpanOpen):
            assert event.index == len(spans)
            assert event.start <= len(text)
            marks = {"start": event.start, "points": []}
        elif isinstance(event, wire.SpanPoint):
            assert event.index == len(spans)
            marks["points"].append((event.x, event.y))
        elif isinstance(event, wire.SpanClose):
            assert event.end == len(text)
            assert event.points == tuple(marks["points"])
            if event.points:
                spans.append(wire.Ground(marks["start"], event.end, event.points))
        elif isinstance(event, wire.ReasoningDone):
            assert not answer
            assert (event.text, event.grounding) == (text, tuple(spans))
        else:
            answer += event.delta
    assert skill.result() == wire.QueryResult(answer, wire.Reasoning(text, tuple(spans)))
    assert skill.output_tokens <= limit
    ends = [0, *(edge for span in spans for edge in (span.start_idx, span.end_idx)), len(text)]
    assert ends == sorted(ends)
    # Every token is fed once, in order, with the answer marker between the phases.
    assert len(run.fed) <= skill.max_feed


@pytest.mark.parametrize("skill", [("query", {"question": "q"}), ("caption", {"length": "short"})])
@pytest.mark.parametrize("tokens", [1, 4])
def test_the_last_token_of_an_answer_is_not_fed(build: Any, replay: Any, skill: Any, tokens: int) -> None:
    name, fields = skill
    asked = build(name, max_tokens=tokens, **fields)
    run = replay(asked, chars("abcdefg"))
    assert (asked.finish_reason, asked.output_tokens) == ("length", tokens)
    assert len(run.fed) == asked.max_feed == tokens - 1


def test_a_budget_needs_a_token() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Budget(0)
