"""Models that know nothing still write JSON that fits the schema: random weights, random schemas."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.answer_format import parse_format
from dreamscope.engine.skills.base import Sampling, Skill, SkillRequest
from dreamscope.engine.skills.grammar import Grammars
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files, load_model
from dreamscope.engine.weights.random import write_random_checkpoint

GOLDEN3 = Path(__file__).parents[2] / "data" / "golden" / "moondream3" / "tiny_a"
CONTEXT = 256
ROOM = 230
"""Tokens that every schema below can be completed in, however badly the model spells."""

Write = Callable[..., Skill]

# --------------------------------------------------------------------------------------------- schemas

integers = st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(
    lambda ends: {"type": "integer", "minimum": ends[0], "maximum": ends[0] + ends[1]}
)
strings = st.tuples(st.integers(0, 2), st.integers(0, 2)).map(
    lambda sizes: {"type": "string", "minLength": sizes[0], "maxLength": sizes[0] + sizes[1]}
)
values = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text('aé猫"\\\n', max_size=3))
chosen = st.lists(values, min_size=1, max_size=3).map(lambda given: {"enum": given})
leaves = st.one_of(
    st.just({"type": "boolean"}), st.just({"type": "null"}), integers, strings, chosen,
    values.map(lambda value: {"const": value}),
)  # fmt: skip
leaf_lists = st.tuples(leaves, st.integers(0, 2)).map(
    lambda parts: {"type": "array", "items": parts[0], "minItems": 0, "maxItems": parts[1]}
)
children = st.one_of(leaves, leaf_lists, st.lists(leaves, min_size=1, max_size=2).map(lambda a: {"anyOf": a}))


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.text('abé "', max_size=3), children, max_size=3))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


schemas = st.one_of(objects(), children)
samplings = st.one_of(
    st.just(Sampling(temperature=0.0, max_tokens=ROOM)),
    st.integers(0, 2**32).map(lambda seed: Sampling(temperature=1.5, top_p=1.0, max_tokens=ROOM, seed=seed)),
)

# ---------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="module", params=["moondream2", "moondream3"])
def any_model(
    request: pytest.FixtureRequest,
    config: Moondream2Config,
    cpu: Device,
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    if request.param == "moondream3":
        given = json.loads((GOLDEN3 / "config.json").read_text())
        return load_files(ModelFiles(GOLDEN3 / "weights.safetensors", GOLDEN3 / "tokenizer.json", given), cpu)
    longer = dataclasses.replace(config, text=dataclasses.replace(config.text, max_context=CONTEXT))
    return load_model(write_random_checkpoint(longer, tmp_path_factory.mktemp("longer"), seed=3), cpu)


@pytest.fixture(scope="module")
def write(any_model: Model) -> Write:
    """Run one request without an image to its end."""
    ids = any_model.config.tokenizer
    grammars = Grammars(any_model.tokenizer, ids.eos_id)

    def run(schema: Any, sampling: Sampling, **fields: Any) -> Skill:
        text = parse_format({"type": "json_schema", "schema": schema}).schema
        request = SkillRequest("query", sampling, question="x", schema=text, **fields)
        skill = build_skill(request, ids, any_model.tokenizer, grammars=grammars)
        cache = any_model.new_cache()
        with any_model.device.inference():
            for _ in generate(any_model, skill, cache, [ids.bos_id, *skill.opening()], Sampler(sampling)):
                pass
        return skill

    return run


# ----------------------------------------------------------------------------------------------- tests


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(schema=schemas, sampling=samplings)
def test_a_bounded_schema_is_always_completed(write: Write, schema: Any, sampling: Sampling) -> None:
    skill = write(schema, sampling)
    assert skill.finish_reason == "stop"
    jsonschema.validate(json.loads(skill.result().answer), schema)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(["string", "number", "array", "object"]), seed=st.integers(0, 2**32))
def test_an_unbounded_schema_is_completed_or_cut(write: Write, kind: str, seed: int) -> None:
    schema = {"type": kind}
    skill = write(schema, Sampling(temperature=2.0, top_p=1.0, max_tokens=60, seed=seed))
    answer = skill.result().answer
    if skill.finish_reason == "stop":
        jsonschema.validate(json.loads(answer), schema)
    else:
        assert skill.finish_reason == "length"
        assert skill.output_tokens == 60
    assert "  " not in answer.partition('"')[0]


def test_a_cut_answer_is_left_as_it_is(write: Write) -> None:
    schema = {"type": "string", "minLength": 100}
    skill = write(schema, Sampling(temperature=0.0, max_tokens=12))
    assert skill.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(skill.result().answer)


def test_the_grammar_begins_after_the_reasoning(write: Write, any_model: Model) -> None:
    schema = {"type": "integer", "minimum": 1, "maximum": 9}
    for seed in range(200):  # until one of them ends its reasoning
        sampling = Sampling(temperature=2.0, top_p=1.0, max_tokens=ROOM - 10, seed=seed)
        skill = write(schema, sampling, reasoning=True)
        if skill.reasoning_tokens and skill.result().answer and skill.finish_reason == "stop":
            break
    assert skill.reasoning_tokens
    assert int(skill.result().answer) in range(1, 10)


def test_masks_are_shorter_than_the_logits_of_a_padded_vocabulary(any_model: Model) -> None:
    grammar = Grammars(any_model.tokenizer, any_model.config.tokenizer.eos_id).json('{"type": "null"}')
    assert len(grammar.allowed()) == any_model.tokenizer.vocab_size <= any_model.config.text.vocab_size
    assert not grammar.allowed()[:CONTROL_IDS].any()
