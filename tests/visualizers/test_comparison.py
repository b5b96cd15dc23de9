"""Runs side by side: who is whose partner, what only one says, and that no side is called better."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.comparison import compare
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Part, Picture, Record

PICTURE = Picture("a" * 64, 640, 480, "image/png")
SQUARE = "M 0 0 L 1 0 L 1 1 L 0 1 Z"
DOGS = (wire.Box(0.1, 0.1, 0.3, 0.3), wire.Box(0.5, 0.5, 0.8, 0.8), wire.Box(0.0, 0.8, 0.1, 0.9))
METRICS = wire.Metrics(
    input_tokens=100, output_tokens=41, ttft_ms=80.0, decode_time_ms=400.0, total_time_ms=500.0
)


def part(skill: str, result: wire.Result, metrics: wire.Metrics = METRICS, **asked: Any) -> Part:
    create = wire.RequestCreate(request_id="r", skill=skill, **asked)
    output = wire.result_to_json(result)
    done = wire.RequestDone(request_id="r", finish_reason="stop", output=output, metrics=metrics)
    return Part(create, "done", (done,))


def run(*parts: Part, model: str = "sprite-2", **more: Any) -> Record:
    fields = {"id": model, "created_at": "", "skill": parts[0].create.skill, "picture": PICTURE, **more}
    return Record(**fields, model=model, parts=parts)


def boxes(*found: wire.Box, name: str = "dog", **more: Any) -> Part:
    return part("detect", wire.DetectResult(found), object=name, **more)


def answer(text: str, reasoning: wire.Reasoning | None = None, **more: Any) -> Part:
    return part("query", wire.QueryResult(text, reasoning), question="How many?", **more)


def moved(box: wire.Box, by: float) -> wire.Box:
    return wire.Box(box.x_min + by, box.y_min, box.x_max + by, box.y_max)


def text_of(markup: str) -> str:
    return html.unescape(re.sub("<[^>]+>", "", markup))


def test_boxes_find_their_partners():
    left = run(boxes(*DOGS))
    right = run(boxes(moved(DOGS[1], 0.02), moved(DOGS[0], 0.01)), model="sprite-3")
    found = compare((left, right)).to_json()
    pairs = {(pair["left"]["ground"], pair["right"]["ground"]) for pair in found["pairs"]}
    assert pairs == {("b0", "b1"), ("b1", "b0")}
    assert all(pair["iou"] > 0.8 and pair["text"].startswith("IoU 0.") for pair in found["pairs"])
    assert found["only"] == {"0": ["b2"], "1": []}
    assert text_of(found["strip"]) == "2 matched · 1 only in sprite-2 · 0 only in sprite-3"
    assert found["diff"] == {"0": None, "1": None}


def test_the_strip_says_how_marks_were_matched():
    left, right = run(boxes(*DOGS)), run(boxes(*DOGS), model="other")
    (between,) = compare((left, right)).to_json()["between"]
    assert "0.5" in between["definition"]
    assert "at most one partner" in between["definition"]
    assert html.escape(between["definition"]) in between["html"]


def test_things_of_other_names_are_never_partners():
    left = run(boxes(DOGS[0], name="Dog"), boxes(DOGS[1], name="cat"))
    right = run(boxes(DOGS[0], name="cat"), boxes(DOGS[1], name="dog"), model="sprite-3")
    found = compare((left, right)).to_json()
    assert found["pairs"] == []
    assert found["only"] == {"0": ["b0", "1.b0"], "1": ["b0", "1.b0"]}


def test_names_count_only_if_both_runs_ask_for_several():
    left, right = run(boxes(DOGS[0], name="dog")), run(boxes(DOGS[0], name="animal"))
    assert len(compare((left, right)).to_json()["pairs"]) == 1
    same = run(boxes(DOGS[0], name="dog"), boxes(DOGS[1], name="cat"))
    swapped = run(boxes(DOGS[1], name="CAT "), boxes(DOGS[0], name="dog"))
    pairs = compare((same, swapped)).to_json()["pairs"]
    assert {(p["left"]["ground"], p["right"]["ground"]) for p in pairs} == {("b0", "1.b0"), ("1.b0", "b0")}


def test_grounded_points_say_whether_their_words_agree():
    def thought(words: str, x: float) -> wire.Reasoning:
        return wire.Reasoning(f"A {words} here", (wire.Ground(2, 2 + len(words), ((x, 0.5), (0.9, 0.9))),))

    left, right = run(answer("1", thought("dog", 0.5))), run(answer("2", thought("Cat", 0.51)))
    pair, _ = compare((left, right)).to_json()["pairs"]
    assert (pair["kind"], pair["same_words"]) == ("span", False)
    assert pair["distance"] == pytest.approx(0.01 * 640 / 800)
    same = compare((left, run(answer("2", thought("DOG", 0.51))))).to_json()["pairs"]
    assert [pair["same_words"] for pair in same] == [True, True]


def test_a_span_is_lonely_only_if_none_of_its_points_has_a_partner():
    def thought(*points: tuple[float, float]) -> wire.Reasoning:
        return wire.Reasoning("two dogs", (wire.Ground(0, 8, points),))

    left, right = run(answer("2", thought((0.1, 0.1), (0.9, 0.9)))), run(answer("1", thought((0.1, 0.1))))
    found = compare((left, right)).to_json()
    assert found["only"] == {"0": [], "1": []}
    assert found["between"][0]["only_left"] == 1


def test_masks_overlap():
    def outline(box: wire.Box) -> Part:
        return part("segment", wire.SegmentResult(SQUARE, box), object="dog")

    left = run(outline(wire.Box(0.1, 0.1, 0.5, 0.5)))
    near = run(outline(wire.Box(0.1, 0.1, 0.5, 0.4)), model="sprite-3")
    found = compare((left, near)).to_json()
    assert found["between"][0]["mask_iou"] == pytest.approx(0.75, abs=0.01)
    assert [pair["kind"] for pair in found["pairs"]] == ["mask"]
    assert "outlines overlap with IoU 0.75" in text_of(found["strip"])
    far = run(outline(wire.Box(0.4, 0.1, 0.8, 0.5)))
    assert compare((left, far)).to_json()["only"] == {"0": ["m0"], "1": ["m0"]}


def test_gaze_targets_are_matched_by_distance():
    def target(x: float) -> Record:
        return run(part("gaze", wire.GazeResult(wire.Point(x, 0.5)), eye=(0.1, 0.1)))

    assert len(compare((target(0.5), target(0.52))).to_json()["pairs"]) == 1
    assert compare((target(0.5), target(0.7))).to_json()["pairs"] == []


def test_answers_differ_in_words():
    found = compare((run(answer("Three dogs.")), run(answer("Four dogs."), model="sprite-3"))).to_json()
    assert found["diff"]["0"] is None
    assert found["diff"]["1"] == '<p class="diff"><del>Three</del> <ins>Four</ins> dogs.</p>'
    assert found["reasoning"] == {"0": None, "1": None}
    assert found["between"][0]["shared_words"] == pytest.approx(4 / 6)


def test_facts_of_each_side():
    silent = Part(wire.RequestCreate(request_id="r", skill="detect", object="dog"), "interrupted")
    found = compare((run(boxes(*DOGS)), run(silent, model="sprite-3"))).to_json()
    first, second = found["columns"]
    assert (first["ttft_ms"], first["total_ms"], first["tokens"], first["count"]) == (80.0, 500.0, 41, 3)
    assert first["tokens_per_second"] == pytest.approx(40 / 0.4)
    assert (second["state"], second["ttft_ms"], second["tokens"], second["count"]) == (
        "interrupted",
        None,
        None,
        0,
    )
    assert "80 ms" in found["sides"][0]
    assert text_of(found["sides"][1]).count("–") == 4
    assert "Cost" not in text_of("".join(found["sides"])), "nobody knows who answered, so nothing is said"


def test_waiting_is_told_apart_from_the_times():
    late = wire.Metrics(
        output_tokens=41, queue_time_ms=5000.0, ttft_ms=5080.0, decode_time_ms=400.0, total_time_ms=5500.0
    )
    prompt, waited = compare((run(boxes()), run(boxes(metrics=late), model="b"))).to_json()["sides"]
    assert "Waited" not in prompt
    for side in (prompt, waited):
        assert "<dt>First token</dt><dd>80 ms</dd>" in side
        assert "<dt>Total</dt><dd>500 ms</dd>" in side
    assert "<dt>Waited</dt><dd>5000 ms</dd>" in waited


def test_a_side_is_called_and_charged_as_when_it_answered():
    price = wire.Price(0.3, 2.5, "Moondream Cloud")
    here = run(boxes(*DOGS), answerer=Answerer("Sprite 2", "", price))
    there = run(boxes(), model="cloud/big", answerer=Answerer("Big", "cloud", price))
    found = compare((here, there)).to_json()
    assert [side["name"] for side in found["columns"]] == ["Sprite 2", "Big"]
    assert "only in Sprite 2" in text_of(found["strip"])
    local, remote = (side["cost"] for side in found["columns"])
    assert (local["charged_usd"], local["elsewhere"]) == (0, "Moondream Cloud")
    assert local["elsewhere_usd"] == remote["charged_usd"] == pytest.approx((100 * 0.3 + 41 * 2.5) / 1e6)
    assert "no charge · $0.00013 at Moondream Cloud" in text_of(found["sides"][0])
    assert "Charged by cloud" in found["sides"][1]


def test_parts_add_up():
    slow = wire.Metrics(output_tokens=9, ttft_ms=120.0, decode_time_ms=100.0, total_time_ms=900.0)
    several = run(boxes(DOGS[0]), boxes(DOGS[1], name="cat", metrics=slow))
    side = compare((several, several)).to_json()["columns"][0]
    assert (side["ttft_ms"], side["total_ms"], side["tokens"]) == (80.0, 900.0, 50)
    assert side["tokens_per_second"] is None


def test_three_columns_are_compared_with_the_first_and_paired_with_all():
    runs = (
        run(boxes(DOGS[0], DOGS[1])),
        run(boxes(DOGS[0]), model="b"),
        run(boxes(DOGS[0], DOGS[2]), model="c"),
    )
    found = compare(runs).to_json()
    assert [(b["left"], b["right"]) for b in found["between"]] == [("0", "1"), ("0", "2")]
    assert {(p["left"]["column"], p["right"]["column"]) for p in found["pairs"]} == {
        ("0", "1"),
        ("0", "2"),
        ("1", "2"),
    }
    assert found["only"] == {"0": ["b1"], "1": [], "2": ["b1"]}
    assert "sprite-2 and b: 1 matched · 1 only in sprite-2 · 0 only in b" in text_of(
        found["strip"].replace("</span>", ":")
    )


def test_marks_on_different_images_are_not_matched():
    other = Picture("b" * 64, 640, 480, "image/png")
    found = compare((run(boxes(*DOGS)), run(boxes(*DOGS), picture=other))).to_json()
    assert found["pairs"] == []
    assert found["between"][0]["matched"] is None
    assert "different images" in text_of(found["strip"])


def test_a_run_that_ended_before_it_said_anything_is_not_compared():
    asked = wire.RequestCreate(request_id="r", skill="query", question="How many?")
    failed = wire.RequestFailed(
        request_id="r", error=wire.ErrorInfo("lab is down.", "unavailable", "unreachable")
    )
    there = run(Part(asked, "failed", (failed,)), model="lab/b")
    found = compare((run(answer("3")), there)).to_json()
    assert text_of(found["strip"]) == "lab/b did not answer"
    assert found["between"][0]["matched"] is found["between"][0]["shared_words"] is None
    assert (found["diff"]["1"], found["only"]) == (None, {"0": [], "1": []})
    assert text_of(compare((run(boxes()), run(boxes()))).to_json()["strip"]) == "No marks on either side"


def test_captions_have_no_marks():
    caption = part("caption", wire.CaptionResult("Three dogs."))
    found = compare((run(caption), run(caption, model="sprite-3"))).to_json()
    assert text_of(found["strip"]) == "same answer"
    assert found["columns"][0]["count"] is None


def test_columns_are_told_apart_by_what_differs():
    def names(*records: Record) -> list[str]:
        return [side.name for side in compare(records).sides]

    assert names(run(boxes()), run(boxes(), model="b")) == ["sprite-2", "b"]
    assert names(run(boxes()), run(boxes(), variant="dogs@20")) == [
        "sprite-2, no adapter",
        "sprite-2, dogs@20",
    ]
    warm, hot = ({"temperature": 0.2, "seed": 1}, {"temperature": 1.0, "seed": 2})
    assert names(run(boxes(settings=warm)), run(boxes(settings=hot))) == [
        "sprite-2, temperature 0.2",
        "sprite-2, temperature 1.0",
    ]
    assert names(run(boxes()), run(boxes(name="cat"))) == ["sprite-2, “dog”", "sprite-2, “cat”"]
    assert names(run(boxes()), run(boxes())) == ["sprite-2 (A)", "sprite-2 (B)"]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_two_to_four_runs(count):
    with pytest.raises(ValueError, match="2 to 4 runs"):
        compare([run(boxes())] * count)


def test_no_markup_comes_from_models_or_people():
    evil = "<script>alert(1)</script>`${x}`"
    found = compare((run(answer(evil)), run(answer("b"), model=evil))).to_json()
    shown = found["strip"] + found["diff"]["1"] + "".join(found["sides"]) + found["between"][0]["html"]
    assert "<script" not in shown
    assert "`" not in shown
    assert "$" not in shown


def test_nobody_wins():
    found = compare((run(boxes(*DOGS)), run(boxes(DOGS[0]), model="b"))).to_json()
    said = text_of(found["strip"] + "".join(found["sides"])) + str(found["between"])
    assert not re.search(r"\b(win|winner|better|best model|faster|slower|correct|wrong)\b", said)


def test_partners_have_one_colour_and_others_give_way():
    def thought(*places: float) -> wire.Reasoning:
        grounds = tuple(wire.Ground(n * 2, n * 2 + 1, ((x, 0.5),)) for n, x in enumerate(places))
        return wire.Reasoning("a b c d e", grounds)

    left, right = thought(0.1, 0.5), thought(0.5, 0.9, 0.1)
    found = compare((run(answer("2", left)), run(answer("3", right), model="b"))).to_json()
    blue, orange, pink = (colour(n) for n in range(3))
    assert found["tints"] == {
        "1": {
            "g0": [orange.fill, orange.halo],
            "g1": [pink.fill, pink.halo],
            "g2": [blue.fill, blue.halo],
        }
    }
    same = run(answer("2", left))
    assert compare((same, same)).to_json()["tints"] == {}
