"""A run folds its events; what it says of itself follows from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.fragment import Fragments
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Part, overall


def test_a_finished_part_has_the_result_of_its_last_event(make_query) -> None:
    (part,) = make_query(answer="There are 2.").parts
    assert part.result == wire.result_from_json("query", part.events[-1].output)
    assert part.result is part.result


def test_every_beginning_folds_to_what_the_page_would_show(make_query, make_detect) -> None:
    for part in (*make_query().parts, *make_detect("dog").parts):
        for count in range(len(part.events) + 1):
            cut = replace(part, events=part.events[:count], state="interrupted")
            stream = Fragments((640, 480), part.create.skill)
            for event in cut.events:
                stream.feed(event)
            stream.engine_gone()
            assert cut.result == stream.result


def test_an_open_span_keeps_its_places(make_query) -> None:
    (part,) = make_query().parts
    cut = replace(part, events=part.events[:7], state="interrupted")
    assert cut.result.reasoning == wire.Reasoning(
        "I see 2 dogs", (wire.Ground(6, 12, ((0.25, 0.5), (0.75, 0.5))),)
    )


def test_a_changed_copy_folds_anew(make_query) -> None:
    (part,) = make_query().parts
    assert part.result.answer
    assert replace(part, events=()).result == wire.QueryResult("")
    assert replace(part, state="failed") != part
    assert replace(part) == part


def test_events_of_another_skill_are_refused(make_query) -> None:
    (part,) = make_query().parts
    strange = Part(wire.RequestCreate(request_id="r", skill="detect", object="dog"), "done", part.events)
    with pytest.raises(wire.WireError):
        strange.result  # noqa: B018


def test_metrics_and_error_come_from_the_last_event(make_query) -> None:
    (part,) = make_query().parts
    assert part.metrics.output_tokens == 9
    assert part.error is None
    info = wire.ErrorInfo("Out of memory.", "server_error", "not_enough_memory")
    failed = replace(part, events=(*part.events[:-1], wire.RequestFailed(request_id="r0", error=info)))
    assert failed.error == info
    assert failed.metrics is None


def test_objects_of_one_run_have_colours_of_their_own(make_detect) -> None:
    run = make_detect("dog", "cat", "Dog ")
    assert [asked.name for asked in run.asked] == ["dog", "cat", "Dog "]
    assert [asked.part for asked in run.asked] == [0, 1, 2]
    assert len({colour(asked.family).fill for asked in run.asked}) == 3
    assert run.prompt == "dog, cat, Dog "


@pytest.mark.parametrize(
    ("states", "one"),
    [
        ((), "queued"),
        (("done", "done"), "done"),
        (("done", "stopped"), "stopped"),
        (("failed", "running"), "running"),
        (("interrupted", "failed"), "interrupted"),
    ],
)
def test_the_state_of_a_run(states, one) -> None:
    assert overall(states) == one
