"""The panel: well-formed, in order, and inert whatever people and models wrote."""

from __future__ import annotations

from xml.etree import ElementTree

from dreamscope.visualizers.audit.checks import audit
from dreamscope.visualizers.audit.html import render, summary

HOSTILE = '</section><img src=x onerror=alert(1)> ${x} `y` "quoted"'


def panel(run, *detected):
    return ElementTree.fromstring(render(run, audit(run, detected)))


def test_what_wants_a_look_comes_first(made):
    root = panel(made.query("How many dogs?", "I see [a dog](0.2 0.3).", "3"))
    assert root.get("data-run") == "run1"
    assert root.find("p").get("data-verdict") == "look"
    checks = [(node.get("data-check"), node.get("data-verdict")) for node in root.findall("ul/li")]
    assert checks == [("count-points", "look"), ("outside-boxes", "unknown")]
    assert {node.get("data-verdict") for node in root.findall("details//li")} == {"fine"}
    assert root.find("button[@class='audit-detect']").get("data-nouns") == "dog"
    assert root.find("ul/li/span[@class='check-evidence']/button[@data-ground='g0']").text == "a dog"


def test_the_table_has_every_span(made):
    root = panel(made.query("?", "I see [a dog](0.2 0.3) and [two cats](0.5 0.5, 0.7 0.7).", "x"))
    rows = root.findall("table/tbody/tr")
    assert [row.get("data-ground") for row in rows] == ["g0", "g1"]
    assert [cell.text for cell in rows[1]] == ["2", "two cats", "x 0.500, y 0.500; x 0.700, y 0.700"]


def test_boxes_of_another_run_can_be_shown(made):
    run = made.query("?", "I see [a dog](0.2 0.3).", "x")
    root = panel(run, made.detect("dog", (0.5, 0.5, 0.75, 1.0)))
    shown = root.find(".//button[@data-box]")
    assert (shown.get("data-box"), shown.get("data-ground")) == ("0.5,0.5,0.75,1", None)


def test_hostile_words_stay_words(made):
    html = render(run := made.query(HOSTILE, f"I see [{HOSTILE}](0.2 0.3, 0.2 0.3).", HOSTILE), audit(run))
    ElementTree.fromstring(html)
    for sign in ("<img", "${", "`"):
        assert sign not in html


def test_the_summary_counts(made):
    assert summary(()) == "There is nothing to check in this run."
    fine = audit(made.detect("dog", (0.1, 0.1, 0.5, 0.5)))
    assert summary([check for check in fine if check.verdict == "fine"]) == "2 checks: nothing disagrees."
