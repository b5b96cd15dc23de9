"""The rules of Moondream 3: nothing masked, numbers anywhere, objects chosen from two ids; and segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest, Step
from dreamscope.engine.skills.registry import build_skill

EOS, ANSWER, COORD, SIZE, OPEN, CLOSE = 0, 3, 5, 6, 7, 9
FREE = Step("text")
WORDS = ["cat", " ", *"MmLlHhVvCcSsQqTtAaZz-", *map(str, range(0, 961, 60))]


class WordTokenizer:
    """One id above the control ids for each word; longest first."""

    def encode(self, text: str) -> list[int]:
        ids = []
        while text:
            word = max((word for word in WORDS if text.startswith(word)), key=len)
            ids.append(21 + WORDS.index(word))
            text = text[len(word) :]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(WORDS[i - 21] for i in ids if i > 20)


def words(text: str) -> list[int]:
    return [21 + WORDS.index(word) for word in text.split()]


@pytest.fixture
def build3() -> Callable[..., Skill]:
    def make(skill: str, *, max_tokens: int = 768, max_objects: int = 150, **fields: object) -> Skill:
        sampling = Sampling(max_tokens=max_tokens, max_objects=max_objects)
        request = SkillRequest(skill=skill, sampling=sampling, **fields)
        return build_skill(request, Moondream3Config().tokenizer, WordTokenizer())  # type: ignore[arg-type]

    return make


def test_openings(build3: Any) -> None:
    cat, space = words("cat")[0], 21 + WORDS.index(" ")
    assert build3("query", question="cat").opening() == [1, 15381, 2, cat, 3]
    assert build3("query", question="cat", reasoning=True).opening() == [1, 15381, 2, cat, 4]
    assert build3("point", object="cat").opening() == [1, 2581, 2, space, cat, 3]
    assert build3("detect", object="cat").opening() == [1, 7235, 476, 2, space, cat, 3]
    refs = ((0.0, 0.25, 0.5, 0.75),)
    box = [Coord(0.25), Coord(0.5), Size(0.5, 0.5)]
    assert build3("segment", object="cat", spatial_refs=refs).opening() == [1, 17374, 2, *box, cat, 3]


def test_nothing_is_masked_in_text(build3: Any) -> None:
    skill = build3("query", question="cat", reasoning=True)
    for token in (*words("cat"), ANSWER, *words("cat")):
        assert skill.step() == FREE
        skill.consume(Text(token))
    assert skill.step() == FREE


def test_numbers_in_an_answer_get_their_value_and_no_text(build3: Any, replay: Any) -> None:
    skill = build3("caption")
    numbers = [Coord(0.5), Size(0.25, 0.75)]
    run = replay(skill, [*words("cat"), COORD, SIZE, *words("cat"), EOS], numbers)
    assert run.fed == [*words("cat"), *numbers, *words("cat")]
    assert skill.result() == wire.CaptionResult("catcat")
    assert skill.output_tokens == 4


def test_the_budget_counts_a_number_once(build3: Any, replay: Any) -> None:
    skill = build3("caption", max_tokens=2)
    run = replay(skill, [COORD, COORD, *words("cat")], [Coord(0.5), Coord(0.25)])
    assert (skill.finish_reason, run.fed) == ("length", [Coord(0.5)])


def test_a_size_in_a_reasoning_says_nothing(build3: Any, replay: Any) -> None:
    skill = build3("query", question="cat", reasoning=True)
    numbers = [Coord(0.5), Size(0.1, 0.1), Coord(0.25)]
    run = replay(skill, [OPEN, COORD, SIZE, COORD, CLOSE, ANSWER, *words("cat"), EOS], numbers)
    assert skill.result() == wire.QueryResult("cat", wire.Reasoning("", (wire.Ground(0, 0, ((0.5, 0.25),)),)))
    assert run.fed == [OPEN, *numbers, CLOSE, ANSWER, *words("cat")]


def test_an_end_within_the_reasoning_leaves_an_empty_answer(build3: Any, replay: Any) -> None:
    skill = build3("query", question="cat", reasoning=True)
    run = replay(skill, [*words("cat cat"), EOS])
    assert skill.finish_reason == "stop"
    assert skill.result() == wire.QueryResult("", wire.Reasoning("catcat"))
    assert run.events[-1].wire_type == "reasoning.done"


def test_the_answer_marker_is_a_token_of_the_budget(build3: Any, replay: Any) -> None:
    skill = build3("query", question="cat", reasoning=True, max_tokens=3)
    replay(skill, [*words("cat"), ANSWER, *words("cat cat")])
    assert (skill.finish_reason, skill.result().answer) == ("length", "cat")
    skill = build3("query", question="cat", reasoning=True, max_tokens=2)
    replay(skill, [*words("cat"), ANSWER])
    assert (skill.finish_reason, skill.result().answer) == ("length", "")


@pytest.mark.parametrize("sized", [False, True])
def test_objects_are_chosen_from_two_ids(build3: Any, sized: bool) -> None:
    skill = build3("detect" if sized else "point", object="cat")
    another = Step("text", allowed=frozenset({COORD, EOS}))
    assert skill.step() == another
    skill.consume(Text(COORD))
    for token in [Coord(0.5), Coord(0.25), *([Size(0.5, 0.5)] if sized else [])]:
        assert skill.step() == Step("size" if isinstance(token, Size) else "coord")
        skill.consume(token)
    assert skill.step() == another


@pytest.mark.parametrize(("last", "reason"), [(EOS, "stop"), (COORD, "length")])
def test_after_the_last_object_the_model_says_whether_it_was_through(
    build3: Any, replay: Any, last: int, reason: str
) -> None:
    skill = build3("point", object="cat", max_objects=1)
    run = replay(skill, [COORD, last], [Coord(0.5), Coord(0.25)])
    assert skill.finish_reason == reason
    assert skill.result() == wire.PointResult((wire.Point(0.5, 0.25),), 1)
    assert len(run.fed) <= skill.max_feed


def test_segment_streams_its_box_and_its_path(build3: Any, replay: Any) -> None:
    skill = build3("segment", object="cat")
    numbers = [Coord(0.5), Coord(0.25), Size(0.5, 0.25)]
    tokens = [COORD, COORD, SIZE, *words("M 0 480 L 960 0 - 60 480 z"), EOS]
    run = replay(skill, tokens, numbers)
    box = wire.Box(0.25, 0.125, 0.75, 0.375)
    path = "M 0 0.5 L 1 0 -0.062 0.5 z"
    assert [wire.to_json(event) | {"type": event.wire_type} for event in run.events] == [
        {"type": kind, "request_id": "", "seq": -1, "t": 0.0, **fields}
        for kind, fields in [
            ("mask.bbox", {"bbox": wire.to_json(box)}),
            ("mask.delta", {"delta": "M 0 0.5", "n": 6}),
            ("mask.delta", {"delta": " L 1 0", "n": 3}),
            ("mask.delta", {"delta": " -0.062 0.5", "n": 3}),
            ("mask.delta", {"delta": " z", "n": 1}),
            (
                "mask.done",
                {
                    "path": path,
                    "coarse_path": path,
                    "bbox": wire.to_json(box),
                    "coarse_bbox": wire.to_json(box),
                },
            ),
        ]
    ]
    assert skill.result() == wire.SegmentResult(path, box)
    assert (skill.finish_reason, skill.output_tokens) == ("stop", 13)
    assert run.fed == [*numbers, *words("M 0 480 L 960 0 - 60 480 z")]


def test_segment_without_a_path_or_a_box(build3: Any, replay: Any) -> None:
    skill = build3("segment", object="cat")
    run = replay(skill, [*words("cat M 0 0"), EOS])
    assert skill.result() == wire.SegmentResult("", None, "Unexpected SVG token 'cat'")
    assert [event.wire_type for event in run.events] == ["mask.done"]
    assert wire.result_to_json(skill.result()) == {
        "path": "",
        "bbox": None,
        "parse_error": "Unexpected SVG token 'cat'",
        "refined": False,
    }


def test_segment_ends_with_its_budget(build3: Any, replay: Any) -> None:
    skill = build3("segment", object="cat", max_tokens=4)
    replay(skill, words("M 0 60 L 120 120"))
    assert (skill.finish_reason, skill.result().path) == ("length", "M 0 0.062 L")
