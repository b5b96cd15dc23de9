"""A run in time: the events' own times, all parts laid over each other, and in the end what is kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.record import Part
from dreamscope.visualizers.timeline import timeline


def test_frames_have_the_times_of_the_events(make_query) -> None:
    run = make_query()
    played = timeline(run)
    assert [at for at, _ in played.frames] == [event.t for event in run.parts[0].events]
    assert played.duration_ms == 440
    assert played.view_box == "0 0 1000 750"


def test_playing_every_frame_gives_the_still(make_query, new_page) -> None:
    played = timeline(make_query())
    page = new_page()
    for _, changes in played.frames:
        page.apply(change for change in changes if change.slot != "reasoning_time")
    still = new_page()
    for slot in page.all():
        still._replace(_fragment(slot, played.still[0][slot]), still._slots[slot])
    assert page.all() == still.all()
    assert played.still[0]["reasoning_time"] == "0.3 s"


def _fragment(slot: str, html: str):
    from dreamscope.visualizers.fragment import Fragment

    return Fragment(slot, "replace", html)


def test_parts_run_side_by_side(make_detect) -> None:
    played = timeline(make_detect("dog", "cat"))
    times = [at for at, _ in played.frames]
    assert times == sorted(times)
    assert times == [0, 15, 40, 55, 80, 95, 120, 135]
    assert [{change.part for change in changes} for _, changes in played.frames] == [{0}, {1}] * 4
    assert len(played.still) == 2
    assert 'data-ground="b0"' in played.still[0]["marks"]
    assert 'data-ground="1.b0"' in played.still[1]["marks"]


def test_what_happens_at_once_is_one_frame(make_detect) -> None:
    run = make_detect("dog", "cat")
    together = [replace(part, events=tuple(replace(e, t=7.0) for e in part.events)) for part in run.parts]
    played = timeline(run.with_parts(together))
    assert [at for at, _ in played.frames] == [7.0]
    assert {change.part for change in played.frames[0][1]} == {0, 1}


def test_one_part_of_several(make_detect) -> None:
    played = timeline(make_detect("dog", "cat"), only=1)
    assert {change.part for _, changes in played.frames for change in changes} == {1}
    assert len(played.still) == 1
    with pytest.raises(IndexError):
        timeline(make_detect("dog"), only=1)


def test_an_interrupted_run_says_so_in_the_end(make_query) -> None:
    run = make_query()
    cut = Part(run.parts[0].create, "interrupted", run.parts[0].events[:7])
    played = timeline(run.with_parts([cut]))
    (_, last), still = played.frames[-1], played.still[0]
    assert any("Interrupted after “I see 2 dogs”." in change.html for change in last)
    assert "Interrupted" in still["status"]
    assert 'class="ground"' in still["reasoning"]
    assert "open" not in still["reasoning"]


def test_a_run_without_events_has_no_frames(make_query) -> None:
    run = make_query()
    played = timeline(run.with_parts([Part(run.parts[0].create)]))
    assert played.frames == ()
    assert played.duration_ms == 0
    assert played.still[0]["answer"] == ""


def test_json_is_what_the_script_reads(make_detect) -> None:
    run = make_detect("dog", "cat")
    plain = json.loads(json.dumps(timeline(run, 360).to_json()))
    assert set(plain) == {"view_box", "duration_ms", "frames"}
    at, changes = plain["frames"][3]
    assert at == 55
    assert {change["part"] for change in changes} == {1}
    assert {"slot", "op", "html", "key"} <= set(changes[0])


def test_a_failed_run_keeps_what_it_had(make_query) -> None:
    run = make_query()
    info = wire.ErrorInfo("Out of memory.", "server_error", "not_enough_memory")
    failed = wire.RequestFailed(request_id="r0", seq=7, t=300.0, error=info)
    played = timeline(
        run.with_parts([Part(run.parts[0].create, "failed", (*run.parts[0].events[:7], failed))])
    )
    assert 'data-state="failed"' in played.still[0]["status"]
    assert "2 dogs" in played.still[0]["reasoning"]
