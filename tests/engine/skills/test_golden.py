"""The skills against recorded runs of the published code: prompts, decisions, results and stream pieces."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, Size, Token
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest
from dreamscope.engine.skills.detect import clamp
from dreamscope.engine.skills.detokenize import Detokenizer, word_cut
from dreamscope.engine.skills.registry import build_skill

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "moondream2"
SETS = ("grid27", "grid8_gqa")


@functools.cache
def load(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "golden.json").read_text(encoding="utf-8"))


@functools.cache
def tokenizer(name: str) -> Tokenizer:
    return Tokenizer.load(GOLDEN / name / "tokenizer.json")


def cases(*skills: str) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{case['id']}")
        for name in SETS
        for case in load(name)["cases"]
        if case["skill"] in skills
    ]


def units(kind: str) -> list[Any]:
    return [
        pytest.param(name, row, id=f"{name}-{index}")
        for name in SETS
        for index, row in enumerate(load(name)["units"][kind])
    ]


def build(name: str, case: dict[str, Any]) -> Skill:
    limits = {key: case[key] for key in ("max_tokens", "max_objects") if key in case}
    request = SkillRequest(
        skill=case["skill"],
        sampling=Sampling(temperature=0.0, **limits),
        question=case.get("question") or "",
        object=case.get("object") or "",
        length=case.get("length") or "normal",
        reasoning=bool(case.get("reasoning")),
        spatial_refs=tuple(tuple(ref) for ref in case.get("spatial_refs") or ()),
    )
    ids = Moondream2Config.from_dict(load(name)["config"]).tokenizer
    return build_skill(request, ids, tokenizer(name), per_phase_budget=True)


def ids_of(items: list[Any]) -> list[int]:
    """A prompt as the recording writes it: coordinates as id 5, sizes as id 6."""
    return [5 if isinstance(item, Coord) else 6 if isinstance(item, Size) else item for item in items]


def check_prompt(skill: Skill, case: dict[str, Any]) -> None:
    bos = [] if case["image"] else [0]
    assert bos + ids_of(skill.opening()) == case["prompts"][0]["tokens"]


def answer_decisions(case: dict[str, Any]) -> list[int]:
    return case["token_ids"] + ([0] if case["stop"] == "eos_id" else [])


@pytest.mark.parametrize(("name", "case"), cases("caption", "query"))
def test_text_case(name: str, case: dict[str, Any], replay: Any) -> None:
    skill = build(name, case)
    check_prompt(skill, case)
    decisions = answer_decisions(case)
    coords = [Coord.from_bin(index) for index in case.get("reasoning_coord_bins", [])]
    if case.get("reasoning"):
        end = [3] if case["reasoning_stop"] == "answer_id" else []
        decisions = case["reasoning_token_ids"] + end + decisions

    run = replay(skill, decisions, coords)

    assert skill.finish_reason == ("stop" if case["stop"] == "eos_id" else "length")
    assert wire.result_to_json(skill.result()) == case["result"]
    assert [event.delta for event in run.of(wire.TextDelta)] == case["stream_chunks"]
    # Everything decided is fed once, except the two ends and a last token beyond the budget.
    separator = [3] if case.get("reasoning") else []
    fed = case.get("reasoning_token_ids", []) + separator + case["token_ids"]
    assert ids_of(run.fed) == (fed if case["stop"] == "eos_id" else fed[:-1])


def region_tokens(case: dict[str, Any]) -> list[Token]:
    return [
        Coord.from_bin(*row["argmax"]) if row["kind"] == "coord" else Size.from_bins(*row["argmax"])
        for row in case["bins"]
    ]


def object_decisions(case: dict[str, Any]) -> list[int]:
    """The decoded ids that decide: the prompt's, then the one after each complete object."""
    stride = 3 if case["skill"] == "detect" else 2
    return [case["first_token"], *case["step_argmax"][stride - 1 :: stride]]


@pytest.mark.parametrize(("name", "case"), cases("point"))
def test_point_case(name: str, case: dict[str, Any], replay: Any) -> None:
    skill = build(name, case)
    check_prompt(skill, case)
    run = replay(skill, object_decisions(case), region_tokens(case))
    expected = case["result"]["points"]
    assert wire.result_to_json(skill.result()) == {"points": expected, "count": len(expected)}
    assert [{"x": e.x, "y": e.y} for e in run.of(wire.PointEvent)] == expected
    assert skill.finish_reason == ("length" if len(expected) == case["max_objects"] else "stop")


@pytest.mark.parametrize(("name", "case"), cases("detect"))
def test_detect_case(name: str, case: dict[str, Any], replay: Any) -> None:
    skill = build(name, case)
    check_prompt(skill, case)
    run = replay(skill, object_decisions(case), region_tokens(case))
    assert [wire.to_json(box) for box in skill.decoded] == case["result"]["objects"]
    inside = [wire.to_json(clamp(box)) for box in skill.decoded]
    assert wire.result_to_json(skill.result()) == {"objects": inside}
    fields = ("x_min", "y_min", "x_max", "y_max")
    assert [{f: getattr(e, f) for f in fields} for e in run.of(wire.BoxEvent)] == inside


@pytest.mark.parametrize(("name", "row"), units("stream"))
def test_stream_pieces(name: str, row: dict[str, Any]) -> None:
    stream = Detokenizer(tokenizer(name).decode, word_cut)
    pieces = [stream.push(token_id) for token_id in row["token_ids"]] + [stream.flush()]
    assert [piece for piece in pieces if piece] == row["chunks"]
    assert "".join(pieces) == row["decoded"]


@pytest.mark.parametrize(("name", "row"), units("grounding"))
def test_grounding(name: str, row: dict[str, Any], replay: Any) -> None:
    case = {"skill": "query", "question": "q", "reasoning": True, "max_tokens": 100}
    skill = build(name, case)
    coords = [Coord.from_bin(index) for index in row["coord_bins"]]
    run = replay(skill, [*row["token_ids"], 3], coords)
    (done,) = run.of(wire.ReasoningDone)
    assert done.text == row["text"]
    assert wire.to_json(done.grounding) == row["grounding"]
    # One position per token, then the opener of the answer.
    assert len(run.fed) == row["end_pos"] - row["start_pos"] + 1
