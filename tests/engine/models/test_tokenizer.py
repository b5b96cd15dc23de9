"""Text in, ids out; control ids only ever from templates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.tokenizer import MOONDREAM_MARKERS, Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.weights.random import byte_tokenizer

GOLDEN = Path(__file__).parents[2] / "data/golden/moondream2/grid8_gqa/tokenizer.json"
CONTROL_NAMES = ("<|endoftext|>", *(f"<|md_reserved_{i}|>" for i in range(20)))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(GOLDEN)


pieces = st.one_of(st.text(max_size=8), st.sampled_from(CONTROL_NAMES))


@settings(deadline=None)
@given(parts=st.lists(pieces, max_size=6))
def test_user_text_comes_back_and_never_is_a_control_id(parts: list[str]) -> None:
    tokenizer = Tokenizer.load(GOLDEN)
    text = "".join(parts).encode("utf-8", "ignore").decode()
    ids = tokenizer.encode(text)
    assert all(index >= CONTROL_IDS for index in ids)
    assert tokenizer.decode(ids) == text


def test_control_ids_vanish_when_decoding(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("red cube")
    assert tokenizer.decode([7, *ids[:1], 5, 9, *ids[1:], 0]) == "red cube"
    assert tokenizer.decode(range(CONTROL_IDS)) == ""


def test_a_character_cut_in_half_is_a_replacement_character(tokenizer: Tokenizer) -> None:
    ids = Tokenizer.load(GOLDEN).encode("猫")
    assert len(ids) > 1
    assert "\ufffd" in tokenizer.decode(ids[:1])


@settings(deadline=None)
@given(text=st.text())
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(text: str) -> None:
    tokenizer = Tokenizer.load(GOLDEN)
    spelt = tokenizer.token_bytes()
    assert len(spelt) == tokenizer.vocab_size
    assert b"".join(spelt[index] for index in tokenizer.encode(text)) == text.encode()


def test_control_ids_have_no_bytes_and_every_byte_has_an_id(tokenizer: Tokenizer) -> None:
    spelt = tokenizer.token_bytes()
    assert spelt[:CONTROL_IDS] == [b""] * CONTROL_IDS
    assert {bytes([byte]) for byte in range(256)} <= set(spelt)


def _write(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_markers_of_the_published_vocabulary(tmp_path: Path) -> None:
    data = byte_tokenizer()
    vocab = data["model"]["vocab"]
    for index, piece in enumerate(("qu", "er", "quer")):
        vocab[piece] = 300 + index
    vocab["query"] = 15381
    data["model"]["merges"] = [["q", "u"], ["e", "r"], ["qu", "er"], ["quer", "y"]]
    path = _write(tmp_path, data)
    assert Tokenizer.load(path, MOONDREAM_MARKERS).vocab_size == 15382
    vocab["query"] = 15380
    with pytest.raises(WeightsInvalid, match=r"'query' has the ids \[15380\], expected \[15381\]"):
        Tokenizer.load(_write(tmp_path, data), MOONDREAM_MARKERS)


def test_a_marker_on_a_control_token(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="md_reserved_2"):
        Tokenizer.load(_write(tmp_path, byte_tokenizer()), {"<|md_reserved_2|>": 4})


def test_the_older_vocabulary_is_refused(tmp_path: Path) -> None:
    data = byte_tokenizer()
    data["model"]["vocab"] = {token: i for i, token in enumerate(list(data["model"]["vocab"])[CONTROL_IDS:])}
    data["added_tokens"] = [{**data["added_tokens"][0], "id": 50256}]
    with pytest.raises(WeightsInvalid, match="starmie-v1"):
        Tokenizer.load(_write(tmp_path, data))


@pytest.mark.parametrize("data", [[], {}, {"model": {"vocab": {}}}, {"model": 3, "added_tokens": []}])
def test_not_a_tokenizer(tmp_path: Path, data: object) -> None:
    with pytest.raises(WeightsInvalid, match=r"tokenizer\.json"):
        Tokenizer.load(_write(tmp_path, data))


def test_a_file_that_the_library_cannot_read(tmp_path: Path) -> None:
    data = byte_tokenizer()
    data["model"]["merges"] = [["not", "there"]]
    with pytest.raises(WeightsInvalid, match="not a tokenizer this version reads"):
        Tokenizer.load(_write(tmp_path, data))
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsInvalid, match=r"not a tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json")
