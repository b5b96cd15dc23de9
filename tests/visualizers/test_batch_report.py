"""A batch's figures against small cases worked out by hand, and its exports opened again."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from typing import Any
from xml.dom import minidom

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.batch_export import HEADER, inert_text, report_csv, report_json
from dreamscope.visualizers.batch_figures import histogram_of, matrix_of
from dreamscope.visualizers.batch_items import Item, item_of
from dreamscope.visualizers.batch_report import Report
from dreamscope.visualizers.batch_words import AGREEMENT, DEFINITIONS
from dreamscope.visualizers.record import Part, Picture, Record

HASH = "ab" * 32
PICTURE = Picture(HASH, 640, 480, "image/png")
PLACES = ((0.1, 0.1), (0.5, 0.5), (0.9, 0.9))
NAMES = ("sprite-2", "sprite-3")


def run(skill: str, result: wire.Result, state: str = "done", **asked: Any) -> Record:
    create = wire.RequestCreate(request_id="r", skill=skill, **asked)
    done = wire.RequestDone(
        request_id="r",
        finish_reason="stop",
        output=wire.result_to_json(result),
        metrics=wire.Metrics(output_tokens=5, total_time_ms=50.0),
    )
    parts = (Part(create, state, (done,) if state == "done" else ()),)
    return Record(id="r", created_at="", skill=skill, model="m", picture=PICTURE, parts=parts)


def points(count: int) -> Record:
    found = tuple(wire.Point(x, y) for x, y in PLACES[:count])
    return run("point", wire.PointResult(found, count), object="dog")


def said(text: str) -> Record:
    return run("query", wire.QueryResult(text), question="How many?")


def item(left: Record | None, right: Record | None, name: str = "a.png", **more: Any) -> Item:
    return item_of(name, HASH, (left, right), comparison="c", **more)


def report(*items: Item, skill: str = "point") -> Report:
    return Report("Dogs", skill, "dog", NAMES, items)


def text_of(markup: str) -> str:
    return html.unescape(re.sub("<[^>]+>", " ", markup))


def test_counts_meet_in_a_matrix():
    items = [item(points(3), points(3)), item(points(3), points(2)), item(points(0), points(0))]
    matrix = matrix_of(items, "point")
    assert matrix.labels == ("0", "2", "3")
    assert matrix.cells == ((1, 0, 0), (0, 0, 0), (0, 1, 1))
    assert not matrix.rest
    assert histogram_of(items, "point").labels == ("−1", "0", "+1")
    assert histogram_of(items, "point").counts == (1, 2, 0)


def test_far_differences_share_a_bar():
    few, many = points(0), run("point", wire.PointResult((wire.Point(0.5, 0.5),) * 9, 9), object="dog")
    bars = histogram_of([item(few, many), item(few, points(1))], "point")
    assert (bars.labels[0], bars.labels[-1]) == ("≤−5", "≥+5")
    assert dict(zip(bars.labels, bars.counts, strict=True))["≥+5"] == 1
    assert sum(bars.counts) == 2


def test_answers_meet_as_people_would_count_them():
    items = [
        item(said("Three."), said("three")),
        item(said("Two"), said("Three")),
        item(said(""), said("no")),
    ]
    matrix = matrix_of(items, "query")
    assert matrix.labels[0] == "three"
    assert matrix.cells[0][0] == 1
    assert matrix.cells[matrix.labels.index("two")][0] == 1
    assert "no answer" in matrix.labels
    assert [round(each.disagreement, 2) for each in items] == [0.0, 1.0, 1.0]


def test_rare_answers_share_a_row_that_is_no_agreement():
    items = [item(said(f"word{n}"), said(f"word{n}")) for n in range(15)]
    matrix = matrix_of(items, "query")
    assert matrix.rest
    assert matrix.labels[-1] == "other"
    assert sum(map(sum, matrix.cells)) == 15
    made = report(*items, skill="query")
    assert made.agreeing == 15
    assert made.html().count('class="agree"') == len(matrix.labels) - 1
    assert any("most frequent" in text for text in made.definitions)


def test_disagreement_of_marks_is_the_share_without_partner():
    assert item(points(3), points(3)).disagreement == 0
    assert item(points(3), points(2)).disagreement == pytest.approx(1 / 3)
    assert item(points(1), points(0)).disagreement == 1
    assert item(points(0), points(0)).disagreement == 0


def test_disagreement_of_text_outlines_and_gaze():
    caption = [run("caption", wire.CaptionResult(text)) for text in ("one two", "one two", "one three")]
    assert item(caption[0], caption[1]).disagreement == 0
    assert item(caption[0], caption[2]).disagreement == pytest.approx(0.5)
    assert item(said("a dog"), said("a dog, yes")).disagreement == pytest.approx(1 / 3)
    box = wire.Box(0, 0, 0.5, 0.5)
    drawn = run("segment", wire.SegmentResult("M 0 0 L 1 0 L 1 1 L 0 1 Z", box), object="dog")
    empty = run("segment", wire.SegmentResult("", box), object="dog")
    assert item(drawn, drawn).disagreement == 0
    assert item(drawn, empty).disagreement == 1
    assert item(empty, empty).disagreement == 0
    look = [run("gaze", wire.GazeResult(place), eye=(0.1, 0.1)) for place in (wire.Point(0.2, 0.5), None)]
    there = run("gaze", wire.GazeResult(wire.Point(0.5, 0.5)), eye=(0.1, 0.1))
    assert item(look[0], there).disagreement == pytest.approx(0.3 * 640 / 800)
    assert item(look[0], look[1]).disagreement == 1
    assert item(look[1], look[1]).disagreement == 0


def test_what_has_no_two_answers_is_not_compared():
    failed = run("point", wire.PointResult((), 0), state="failed", object="dog")
    items = (item(points(1), failed), item(points(1), None), item(None, None, trouble="It is gone."))
    assert [(each.settled, each.compared) for each in items] == [(True, False), (False, False), (True, False)]
    made = report(item(points(1), points(1)), *items)
    assert made.summary == (
        "Same number of points on 1 of 1 image. 2 images could not be compared. 1 image still to come."
    )
    assert "It is gone." in made.html()


def test_a_broken_result_is_a_failure_of_its_side():
    good = points(1)
    done = wire.RequestDone(
        request_id="r", finish_reason="stop", output={"points": 3}, metrics=wire.Metrics()
    )
    broken = good.with_parts([Part(good.parts[0].create, "done", (done,))])
    found = item(good, broken)
    assert found.failed
    assert found.right.error


def test_images_are_sorted_by_disagreement():
    made = report(
        item(points(3), points(3), "same.png"),
        item(points(1), points(0), "all.png"),
        item(points(3), points(2), "some.png"),
    )
    names = re.findall(r'class="batch-name">([^<]+)', made.html())
    assert names == ["all.png", "some.png", "same.png"]
    assert 'href="?view=compare&amp;comparison=c"' in made.html()
    assert f'src="/api/images/{HASH}/thumb"' in made.html()


@pytest.mark.parametrize("skill", AGREEMENT)
def test_every_skill_is_defined_in_words(skill):
    assert DEFINITIONS[skill]
    assert "isagreement" in " ".join(DEFINITIONS[skill])
    empty = Report("", skill, "", NAMES, ())
    assert "No image is compared yet." in text_of(empty.html())
    assert "both may be wrong" in text_of(empty.html())


def test_the_report_is_well_formed_and_escaped():
    evil = "<script>alert(1)</script>"
    made = Report(evil, "query", evil, (evil, "b"), [item(said(evil), said("b"), evil)])
    minidom.parseString(f"<r>{made.html()}</r>")
    assert "<script" not in made.html()
    assert "$" not in made.html()


def test_shares_fill_ten_bars():
    same, other = run("caption", wire.CaptionResult("one")), run("caption", wire.CaptionResult("two"))
    bars = histogram_of([item(same, same), item(same, other)], "caption")
    assert bars.counts == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert histogram_of([], "caption") is None


def test_csv_can_be_opened_and_computes_nothing():
    made = report(item(said("=1+1"), said("-2"), "=cmd|'/C calc'!A0"), skill="query")
    rows = list(csv.DictReader(io.StringIO(report_csv(made), newline="")))
    assert list(rows[0]) == list(HEADER)
    assert rows[0]["image"] == "'=cmd|'/C calc'!A0"
    assert (rows[0]["left_answer"], rows[0]["right_answer"]) == ("'=1+1", "'-2")
    assert rows[0]["disagreement"].startswith("0.") or rows[0]["disagreement"] == "1.0"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "＝1"])
def test_formulas_are_inert(text):
    assert inert_text(text) == f"'{text}"


def test_other_texts_stay_as_they_are():
    assert inert_text("three = 3") == "three = 3"
    assert inert_text("") == ""


def test_json_says_what_the_page_says():
    made = report(item(points(3), points(2)), item(points(1), points(1)))
    data = json.loads(json.dumps(report_json(made)))
    assert data["columns"] == list(NAMES)
    assert (data["compared"], data["agreeing"], data["images"]) == (2, 1, 2)
    assert data["matrix"]["labels"] == ["1", "2", "3"]
    assert data["items"][0]["left_count"] == 3
    assert data["items"][0]["disagreement"] == pytest.approx(1 / 3)
    assert data["definitions"]
