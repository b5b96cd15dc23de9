"""Each check where it should speak, where it should not, and where it cannot know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.audit.check import to_json
from dreamscope.visualizers.audit.checks import IDS, audit, nouns_to_detect

HOW_MANY = "How many dogs are there?"
BOTH = ["count-points", "answer-reasoning"]
TWO = "I see [a dog](0.2 0.3) and [another dog](0.7 0.3)."


@pytest.mark.parametrize(
    ("question", "reasoning", "answer"),
    [
        (HOW_MANY, TWO, "2"),
        (HOW_MANY, TWO, "There are two dogs."),
        (HOW_MANY, "I find [dog 1](0.1 0.1), [dog 2](0.5 0.5), [dog 3](0.8 0.8).", "3"),
        (HOW_MANY, "I find no dogs.", "0"),
        (HOW_MANY, "I see [two dogs](0.2 0.3, 0.6 0.3) and [a cat](0.9 0.9).", "Two."),
        (HOW_MANY, "[A dog](0.2 0.3) sits, [one](0.5 0.3) runs and [another](0.8 0.3) sleeps.", "3"),
        (HOW_MANY, "In 2019, 5 cats were here. [Two dogs](0.2 0.3, 0.6 0.3) sit at 10:30.", "2"),
        (HOW_MANY, "[A dog](0.2 0.3) lies there. [The dog](0.201 0.3) is brown.", "1"),
        (HOW_MANY, "[A dog](0.2 0.3) lies there. [The dog](0.25 0.35) is brown.", "1"),
        (HOW_MANY, "Two dogs left: [dogs](0.1 0.3, 0.3 0.3), one dog right: [dog](0.8 0.3).", "3"),
        (HOW_MANY, "There are 3 dogs: two brown dogs and one white. [dogs](0.1 0.1, 0.4 0.4, 0.7 0.7)", "3"),
        ("How many people are there?", "I see [a man](0.2 0.3) and [a woman](0.7 0.3).", "2"),
        ("How many objects are there?", "I find [dog 1](0.1 0.1), [bus 2](0.5 0.5).", "2"),
        ("How many wheels does the car have?", "[The car](0.5 0.5) has [wheels](0.3 0.7, 0.6 0.7).", "2"),
        ("What year is on the sign?", "[The sign](0.5 0.5) says 1987.", "1987"),
        ("Is there a dog?", "I see [a dog](0.2 0.3).", "Yes, there is."),
        ("Is there a dog?", "I find no dogs, only [a cat](0.5 0.5).", "No"),
        ("Is there a dog on the sofa?", "[The dog](0.2 0.3) is on the floor.", "No"),
        ("Are there more dogs than cats?", "[dogs](0.2 0.3), [cats](0.5 0.5, 0.7 0.7)", "No"),
        ("Is the dog left of the cat?", "[The dog](0.8 0.3) is right of [the cat](0.2 0.3).", "No"),
        ("What is there?", "[dog 1](0.1 0.1), [dog 2](0.5 0.5), [cat 3](0.8 0.8).", "Two dogs and a cat."),
        ("What is left of the cat?", "The [cat](0.8 0.5). To the left is the [dog](0.2 0.5).", "A dog"),
        ("Describe it.", "[A dog](0.2 0.3) is chasing [another dog](0.7 0.3).", "A dog is chasing a dog."),
        ("What colour is the dog?", "[The dog](0.2 0.3) is brown.", "Brown"),
        ("What are they doing?", "[A group of people](0.2 0.3, 0.5 0.5) walks.", "They walk."),
    ],
)  # fmt: skip
def test_no_false_alarm(question, reasoning, answer, asked):
    assert asked(question, reasoning, answer) == []


@pytest.mark.parametrize(
    ("question", "reasoning", "answer", "expected"),
    [
        (HOW_MANY, TWO, "3", ["count-points"]),
        (HOW_MANY, TWO, "0", ["count-points"]),
        (HOW_MANY, "I see dogs.", "2", ["count-points"]),
        (HOW_MANY, "I find [dog 1](0.1 0.1), [bus 2](0.5 0.5).", "2", ["count-points"]),
        (HOW_MANY, "There are three [dogs](0.1 0.1, 0.5 0.5, 0.9 0.9).", "4", BOTH),
        (HOW_MANY, "I see [dogs](0.1 0.1, 0.5 0.5), so there are three.", "2", ["answer-reasoning"]),
        ("What is there?", "I see three dogs: [dogs](0.1 0.1, 0.5 0.5).", "Dogs.", ["reasoning-number"]),
        ("What is there?", "I find no dogs but [a dog](0.5 0.5).", "Grass.", ["reasoning-number"]),
        ("What is there?", "I see [two dogs](0.1 0.1).", "Dogs.", ["span-number"]),
        ("What is there?", "I see [a dog](0.1 0.1, 0.5 0.5).", "Dogs.", ["span-number"]),
        ("What animals are there?", "[cow 1](0.1 0.1), [turtle 2](0.5 0.5).", "Two cows.", ["list-points"]),
        ("Is there a dog?", "I see [a dog](0.2 0.3).", "No", ["yes-no"]),
        ("Are there any dogs?", "I find nothing.", "Yes", ["yes-no"]),
        ("What is there?", "I see [a dog]() by [a tree](0.5 0.5).", "A dog.", ["list-points", "empty-spans"]),
        (HOW_MANY, "I find [dog 1](0.5 0.5), [dog 2](0.503 0.5).", "2", ["same-place"]),
        ("What is there?", "I see [two dogs](0.5 0.5, 0.5 0.5).", "Dogs.", ["same-place"]),
        (HOW_MANY, "I see [a dog](1.2 0.5).", "1", ["in-image"]),
    ],
)  # fmt: skip
def test_what_wants_a_look(question, reasoning, answer, expected, asked):
    assert asked(question, reasoning, answer) == expected


def test_the_sentence_says_what_was_compared(made):
    check = made.find(made.query(HOW_MANY, TWO, "Three."), "count-points")
    assert check.text == "The answer says 3; the reasoning makes 2 points at dogs."
    assert [one.ground for one in check.evidence] == [None, "g0", "g1"]
    assert (check.evidence[0].where, check.evidence[0].start, check.evidence[0].end) == ("answer", 0, 6)
    assert check.evidence[1].label == "a dog"
    assert to_json(check)["evidence"][1] == {
        "label": "a dog", "ground": "g0", "where": "reasoning", "start": 6, "end": 11,
    }  # fmt: skip


def test_without_reasoning_nothing_is_known(made):
    check = made.find(made.query(HOW_MANY, None, "3"), "count-points")
    assert check.verdict == "unknown"
    assert "without reasoning" in check.text


BOXES = ((0.1, 0.2, 0.3, 0.4), (0.6, 0.2, 0.8, 0.4))


def test_points_against_boxes(made):
    run = made.query("What is there?", TWO, "Dogs.")
    assert made.find(run, "outside-boxes").verdict == "unknown"
    assert "run detect" in made.find(run, "outside-boxes").text
    assert made.find(run, "outside-boxes", made.detect("dogs", *BOXES)).verdict == "fine"
    stray = made.find(run, "outside-boxes", made.detect("dog", BOXES[0]))
    assert stray.verdict == "look"
    assert stray.text == "1 of 2 points at dogs lies outside every box; detect finds 1 dog."
    assert stray.evidence[0].ground == "g1"
    assert stray.evidence[1].box == BOXES[0]


def test_a_box_without_a_point_matters_where_it_was_counted(made):
    boxes = made.detect("dog", *BOXES, (0.4, 0.8, 0.5, 0.9))
    assert made.look(made.query("What is there?", TWO, "Dogs."), boxes) == []
    found = made.find(made.query(HOW_MANY, TWO, "2"), "outside-boxes", boxes)
    assert found.verdict == "look"
    assert found.text.endswith("detect finds 3 dogs, and no point lies in 1 of its boxes.")


def test_a_pronoun_points_into_a_box_as_well(made):
    run = made.query(HOW_MANY, "I see [a dog](0.2 0.3) and [another](0.7 0.3).", "2")
    assert made.look(run, made.detect("dog", *BOXES)) == []


@pytest.mark.parametrize("field", ["picture", "model", "object"])
def test_boxes_of_something_else_are_not_used(field, made):
    run, boxes = made.query("What is there?", TWO, "Dogs."), made.detect("dog", BOXES[0])
    if field == "picture":
        boxes = replace(boxes, picture=replace(boxes.picture, hash="0" * 64))
    elif field == "model":
        boxes = replace(boxes, model="other")
    else:
        boxes = made.detect("red dog", BOXES[0])
    assert made.find(run, "outside-boxes", boxes).verdict == "unknown"


def test_nouns_to_detect(made):
    run = made.query(
        "?", "[A brown dog](0.1 0.1) and [two cats](0.5 0.5) and [dog 2](0.9 0.9), [it](0.3 0.3).", ""
    )
    assert nouns_to_detect(run) == ("dog", "cat")


@pytest.mark.parametrize(
    ("wide", "verdict"), [(0.02, "fine"), (0.09, "fine"), (0.11, "look"), (None, "unknown")]
)
def test_wide_coordinates(wide, verdict, made):
    assert made.verdicts(made.query("?", TWO, "x", wide))["wide"] == verdict


def test_near_is_as_near_as_the_model_sees(made):
    near = "I find [dog 1](0.5 0.5), [dog 2](0.515 0.5)."
    assert made.verdicts(made.query(HOW_MANY, near, "2", 0.02))["same-place"] == "fine"
    assert made.verdicts(made.query(HOW_MANY, near, "2", 0.04))["same-place"] == "look"
    assert made.verdicts(made.query(HOW_MANY, near, "2", 0.5))["same-place"] == "fine"


def test_events_of_spans_are_needed_to_know_of_empty_ones(made):
    run = made.query("?", TWO, "x")
    bare = run.with_parts([replace(run.parts[0], events=run.parts[0].events[-1:])])
    assert made.verdicts(bare)["empty-spans"] == "unknown"
    assert made.verdicts(run)["empty-spans"] == "fine"


def test_overlapping_spans(made):
    reasoning = wire.Reasoning(
        "a dog and cat", (wire.Ground(0, 9, ((0.1, 0.1),)), wire.Ground(5, 99, ((0.5, 0.5),)))
    )
    run = made.run("query", wire.QueryResult("x", reasoning), question="?")
    assert made.verdicts(run)["spans-apart"] == "look"


def test_points_of_the_point_skill(made):
    points = (wire.Point(0.1, 0.1), wire.Point(0.5, 0.5), wire.Point(0.1, 0.1005))
    check = made.find(made.run("point", wire.PointResult(points, 3), object="dog"), "same-place")
    assert check.verdict == "look"
    assert [one.ground for one in check.evidence] == ["p0", "p2"]


def test_boxes_twice_and_flat(made):
    run = made.detect("dog", (0.1, 0.1, 0.5, 0.5), (0.1, 0.1, 0.5, 0.51), (0.9, 0.9, 0.9, 0.95))
    assert made.look(run) == ["same-place", "flat-box"]
    assert made.find(run, "same-place").text.startswith("Boxes at nearly the same place: 1 and 2 share 98 %")
    assert made.look(made.detect("dog", (0.1, 0.1, 0.5, 0.5), (0.3, 0.1, 0.7, 0.5))) == []


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("M 0 0 L 1 0 L 1 1 L 0 1 Z", "fine"),
        ("M -0.04 0 L 1 0 L 1 1 L 0 1 Z", "fine"),
        ("M 0 0 L 1.2 0 L 1 1 L 0 1 Z", "look"),
        ("M 0 0 L 0.2 0 L 0.2 1 L 0 1 Z", "look"),
        ("", "look"),
    ],
)
def test_outlines(path, verdict, made):
    run = made.run("segment", wire.SegmentResult(path, wire.Box(0.1, 0.1, 0.5, 0.5)), object="dog")
    assert made.verdicts(run)["outline-box"] == verdict


def test_cut_off_and_stopped(made):
    assert made.look(made.query("?", None, "A dog", finish="length")) == ["complete"]
    assert made.look(made.query("?", None, "")) == ["complete"]
    run = made.query("?", None, "A dog")
    stopped = run.with_parts([replace(run.parts[0], state="interrupted", events=())])
    assert "had arrived" in made.find(stopped, "complete").text
    assert made.find(stopped, "complete").verdict == "look"


def test_parts_have_their_own_marks(made):
    first, second = made.detect("cat", (0.1, 0.1, 0.2, 0.2)), made.detect("dog", (0.5, 0.5, 0.5, 0.6))
    run = first.with_parts([*first.parts, *second.parts])
    (flat,) = [check for check in audit(run) if check.verdict == "look"]
    assert (flat.part, flat.evidence[0].ground) == (1, "1.b0")


def test_every_id_is_listed(made):
    runs = [
        made.query(HOW_MANY, TWO, "2"),
        made.detect("dog", BOXES[0]),
        made.query("Is there a dog?", TWO, "No"),
    ]
    assert {check.id for run in runs for check in audit(run)} <= set(IDS)
    assert len(set(IDS)) == len(IDS)
