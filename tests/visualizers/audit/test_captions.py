"""Captions: what they name against what detect finds, and sentences that come twice."""

from __future__ import annotations

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.audit.captions import named
from dreamscope.visualizers.audit.checks import nouns_to_detect

BOX = (0.1, 0.2, 0.3, 0.4)
OTHER = (0.6, 0.2, 0.8, 0.4)


@pytest.mark.parametrize(
    ("caption", "things"),
    [
        ("The image shows two dogs and a tree on a meadow.", [("dog", 2), ("tree", 1)]),
        ("A golden retriever puppy sits near three glass bottles.", [("puppy", 1), ("bottle", 3)]),
        ("A brightly colored ball, a variety of fruits, a sunny day.", []),
        (
            "A man wearing a red hat, one bus and a tall building.",
            [("man", 1), ("hat", 1), ("bus", 1), ("building", 1)],
        ),
        ("Dogs everywhere, in 2019, at 10 km.", []),
    ],
)
def test_only_what_is_plainly_a_thing_is_taken(caption, things):
    assert [(one.noun, one.value) for one in named(caption)] == things


def caption(made, text):
    return made.run("caption", wire.CaptionResult(text), length="normal")


@pytest.mark.parametrize(
    ("text", "boxes", "verdict"),
    [
        ("Two dogs.", (BOX, OTHER), "fine"),
        ("Two dogs.", (BOX,), "look"),
        ("A dog by the fence.", (BOX, OTHER), "fine"),
        ("A dog by the fence.", (), "look"),
        ("Two dogs, and a dog near the gate.", (BOX, OTHER, BOX), "fine"),
    ],
)
def test_what_a_caption_names_is_compared_with_detect(made, text, boxes, verdict):
    found = made.find(caption(made, text), "caption-detect", made.detect("dog", *boxes))
    assert (found.verdict, found.run) == (verdict, "run1")


def test_without_detect_it_is_not_known_and_detect_is_offered(made):
    run = caption(made, "Two dogs and a cat.")
    found = made.find(run, "caption-detect")
    assert found.verdict == "unknown"
    assert [one.label for one in found.evidence] == ["Two dogs", "a cat"]
    assert nouns_to_detect(run) == ("dog", "cat")


def test_sentences_that_come_twice(made):
    assert made.verdicts(caption(made, "There is a dog here. There is a dog here."))["repeats"] == "look"
    assert made.verdicts(caption(made, "There is a dog here. There is a cat here."))["repeats"] == "fine"
    assert "repeats" not in made.verdicts(caption(made, "There is a dog here."))
