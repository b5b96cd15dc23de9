"""The event log and the figures of a run."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from dreamscope.visualizers.inspect import events, metrics


def test_events_are_typed_and_timed(make_query):
    root = ElementTree.fromstring(events.render(make_query()))
    rows = root.findall("ol/li")
    assert len(rows) == 12
    assert rows[3].get("data-type") == "span.open"
    assert [node.text for node in rows[3]][:3] == ["120.0", "+40.0", "span.open"]
    assert '"start": 6' in (rows[3].find("code").text or "")
    chips = {chip.get("data-type"): chip.find("span").text for chip in root.findall("div/button")}
    assert chips["reasoning.delta"] == "3"
    assert sum(map(int, chips.values())) == 12


def test_parts_are_merged_by_time(make_detect):
    rows = ElementTree.fromstring(events.render(make_detect("dog", "cat"))).findall("ol/li")
    assert {row.get("data-part") for row in rows} == {"0", "1"}
    times = [float(row.find("span").text) for row in rows]
    assert times == sorted(times)
    assert rows[0].find("span[@class='event-part']").text == "dog"


def test_of_very_many_events_the_first_are_shown(make_query):
    run = make_query()
    part = run.parts[0]
    many = run.with_parts([replace(part, events=part.events[2:3] * (events.MOST + 5))])
    root = ElementTree.fromstring(events.render(many))
    assert len(root.findall("ol/li")) == events.MOST
    assert root.find("p").text.startswith("4000 of 4005 events")


def test_what_a_model_wrote_is_escaped(make_query):
    html = events.render(make_query(answer="<img src=x onerror=alert(1)> ${x}"))
    assert "<img" not in html
    assert "${" not in html


def test_figures_with_their_meaning(make_query):
    rows = ElementTree.fromstring(metrics.render(make_query())).findall("table/tbody/tr")
    shown = {row.get("data-metric"): row.find("td").text for row in rows}
    assert shown["ttft_ms"] == "84 ms"
    assert shown["queue_time_ms"] == "–"
    assert shown["tokens_per_second"] == "20 tokens/s"
    assert shown["input_tokens"] == "740 tokens"
    assert all(row.findall("td")[1].text.endswith(".") for row in rows)


def test_without_an_end_nothing_was_measured(make_query):
    run = make_query()
    cut = run.with_parts([replace(run.parts[0], events=run.parts[0].events[:5], state="interrupted")])
    assert "Nothing was measured" in metrics.render(cut)
