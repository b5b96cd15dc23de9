"""The line under an answer, and the boxes of detect over its image."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from dreamscope.visualizers.audit.checks import audit, found_by_noun
from dreamscope.visualizers.audit.html import render, uses
from dreamscope.visualizers.audit.layer import layer, legend
from dreamscope.visualizers.audit.line import lines

BOXES = ((0.1, 0.2, 0.3, 0.4), (0.6, 0.2, 0.8, 0.4))
TWO = "I see [a dog](0.2 0.3) and [a dog](0.7 0.3)."
HOSTILE = "<b onclick=alert(1)>\"'"


def shown(run, *detected, **options):
    root = ElementTree.fromstring(f"<div>{lines(run, audit(run, detected), **options)}</div>")
    return [(line.get("data-verdict"), line.find("span").text, line.get("data-lights")) for line in root]


def test_what_wants_a_look_stands_under_the_answer_and_lights_its_evidence(made):
    ((verdict, text, lights),) = shown(made.query("How many dogs?", TWO, "3"))
    assert (verdict, lights) == ("look", "g0 g1")
    assert "3" in text


def test_where_all_is_fine_the_counts_are_said_and_before_the_end_nothing(made):
    run = made.query("How many dogs?", TWO, "2")
    ((verdict, text, _),) = shown(run)
    assert verdict == "fine"
    assert "2" in text
    assert shown(run.with_parts([replace(run.parts[0], state="running")])) == []


def test_a_run_that_brought_nothing_says_so(made):
    run = made.query("How many dogs?", TWO, "2")
    for events, said in ((run.parts[0].events[:-1], "what follows"), ((), "before anything had arrived")):
        cut = run.with_parts([replace(run.parts[0], state="failed", events=events)])
        assert said in shown(cut)[0][1]


def test_with_buttons_the_evidence_is_named_instead(made):
    run = made.query("How many dogs?", TWO, "3")
    html = lines(run, audit(run), buttons=True)
    assert "data-lights" not in html
    assert 'data-ground="g1"' in html


def test_what_detect_has_settled_stays_open_and_leads_to_the_run(made):
    run, boxes = made.query("How many dogs?", TWO, "2"), replace(made.detect("dog", *BOXES), id="d1")
    root = ElementTree.fromstring(render(run, audit(run, [boxes])))
    settled = root.find("ul/li[@data-check='outside-boxes']")
    assert settled.get("data-verdict") == "fine"
    assert settled.find("a").get("href") == "/?run=d1"
    used = ElementTree.fromstring(uses([replace(run, id="q1")]))
    assert (used.find("a").get("data-run"), used.find("a/bdi").text) == ("q1", "How many dogs?")


@pytest.mark.parametrize("noun", ["dog", HOSTILE])
def test_the_boxes_are_drawn_with_a_chip_for_each_noun(made, noun):
    run = made.query("?", f"I see [a {noun}](0.2 0.3).", "x")
    found = found_by_noun(run, [made.detect("dog", *BOXES), made.detect("cat", BOXES[0])])
    groups = ElementTree.fromstring(f"<svg>{layer(run, found)}</svg>").findall("g")
    chips = ElementTree.fromstring(f"<ul>{legend(found)}</ul>").findall("li/button")
    if noun == "dog":
        assert [(g.get("data-noun"), len(g.findall("g"))) for g in groups] == [("dog", 2)]
        assert groups[0].find("g/rect").get("width") == "200"
        assert [chip.get("data-noun") for chip in chips] == ["dog"]
    else:
        assert (groups, chips) == ([], [])
