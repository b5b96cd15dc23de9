"""The grammar of a JSON text: what it lets through, where it may end, and what it refuses to compile."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.models.registry import find_model
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.skills.grammar import Grammar, GrammarError, Grammars, check_schema

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
EOS = 0


def _sprite() -> Path:
    folder = find_model("sprite-2").directory()
    assert folder is not None
    return folder / "tokenizer.json"


@functools.cache
def _load(name: str) -> Tokenizer:
    return Tokenizer.load(_sprite() if name == "sprite" else GOLDEN / name / "tokenizer.json")


@pytest.fixture(scope="module", params=["sprite", "moondream3/tiny_a"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return _load(request.param)


@pytest.fixture(scope="module")
def grammars(tokenizer: Tokenizer) -> Grammars:
    return Grammars(tokenizer, EOS)


def fits(grammar: Grammar, tokenizer: Tokenizer, text: str) -> bool:
    """Whether the grammar lets the whole text through, token by token."""
    for index in tokenizer.encode(text):
        if not grammar.allowed()[index]:
            return False
        grammar.advance(index)
    return True


def is_complete(grammars: Grammars, tokenizer: Tokenizer, schema: Any, text: str) -> bool:
    """Whether the text fits and may end there."""
    grammar = grammars.json(json.dumps(schema))
    return fits(grammar, tokenizer, text) and bool(grammar.allowed()[EOS])


def test_the_end_is_allowed_where_the_text_is_complete(grammars: Grammars, tokenizer: Tokenizer) -> None:
    grammar = grammars.json('{"type": "integer", "minimum": 1, "maximum": 12}')
    assert not grammar.allowed()[EOS]
    assert fits(grammar, tokenizer, "1")
    assert grammar.allowed()[EOS]
    assert not grammar.finished  # 10, 11 and 12 are still to be had
    assert fits(grammar, tokenizer, "2")
    assert grammar.finished
    assert np.flatnonzero(grammar.allowed()).tolist() == [EOS]


def test_control_ids_are_never_allowed_inside(grammars: Grammars, tokenizer: Tokenizer) -> None:
    grammar = grammars.json('{"type": "string"}')
    for index in tokenizer.encode('"a cat'):
        assert not grammar.allowed()[:CONTROL_IDS].any()
        grammar.advance(index)
    assert grammar.allowed().shape == (tokenizer.vocab_size,)
    assert grammar.allowed().sum() > 100


@pytest.mark.parametrize(
    ("schema", "text", "complete"),
    [
        ({"type": "object"}, '{"a":[1,{"b":null}],"c":-2.5e3}', True),
        ({"type": "object"}, '{"a": 1, "b": [1, 2]}', True),
        ({"type": "object"}, '{"a":  1}', False),  # blanks that a model could go on with forever
        ({"type": "object"}, '{ "a": 1}', False),
        ({"type": "object"}, '{"a": 1 }', False),
        ({"type": "object"}, "{\n}", False),
        ({"type": "object"}, "[]", False),
        ({"type": "string"}, '"größer \\"\\n\\""', True),
        ({"type": "string"}, '"\\ud800"', False),  # half of a surrogate pair
        ({"type": "string", "maxLength": 2}, '"äö"', True),
        ({"type": "string", "maxLength": 2}, '"äöü"', False),
        ({"type": "string", "pattern": "^[0-9]{3}$"}, '"123"', True),
        ({"type": "string", "pattern": "^[0-9]{3}$"}, '"12"', False),
        ({"enum": ["red", 4]}, '"red"', True),
        ({"enum": ["red", 4]}, '"blue"', False),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 2}, "[null, null]", True),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 2}, "[null,null,null]", False),
        ({"properties": {"a": {"type": "integer"}}, "type": "object"}, '{"b":1,"\\u0061":"x"}', False),
        (
            {
                "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                "$ref": "#/$defs/tree",
            },
            "[[],[[]]]",
            True,
        ),
    ],
)
def test_texts(grammars: Grammars, tokenizer: Tokenizer, schema: Any, text: str, complete: bool) -> None:
    assert is_complete(grammars, tokenizer, schema, text) == complete


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdé", max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abcd", max_size=3), JSON, max_size=3))
def test_every_plain_object_is_a_text_of_the_free_grammar(value: dict[str, Any]) -> None:
    tokenizer = _load("sprite")
    text = json.dumps(value, ensure_ascii=False)
    assert is_complete(Grammars(tokenizer, EOS), tokenizer, {"type": "object"}, text)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strnig"}, "strnig"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"$ref": "#/$defs/nobody"}, "nobody"),
        ({"$ref": "https://example.com/schema"}, "example.com"),
        ({"$ref": "#"}, "no text"),  # says nothing but that it is itself
        ({"type": "string", "pattern": "("}, "regex"),
        ({"type": "string", "format": "zzz"}, "zzz"),
        ({"enum": []}, "empty"),
    ],
)
def test_what_cannot_be_compiled(schema: Any, words: str) -> None:
    with pytest.raises(GrammarError) as caught:
        check_schema(json.dumps(schema))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schema_that_is_no_json() -> None:
    with pytest.raises(GrammarError):
        check_schema("{")


def test_an_id_that_is_not_allowed_fails(grammars: Grammars, tokenizer: Tokenizer) -> None:
    grammar = grammars.json('{"type": "null"}')
    with pytest.raises(GrammarError):
        grammar.advance(tokenizer.encode("x")[0])
