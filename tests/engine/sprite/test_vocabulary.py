from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, Size
from dreamscope.engine.sprite.conventions import MOONDREAM2, MOONDREAM3, Conventions
from dreamscope.engine.sprite.export import load_tokenizer
from dreamscope.engine.sprite.recipe import SPRITE_3, Sizes
from dreamscope.engine.sprite.vocabulary import BINS, coord_bin, size_bin, templates
from dreamscope.engine.sprite.world import COLOURS, KINDS

CONTROLS = ("<|endoftext|>", *(f"<|md_reserved_{k}|>" for k in range(20)))
PLACES = ("top", "bottom", "left", "right", "center")
fractions = st.floats(0, 1)


def test_the_vocabulary_is_full_and_starts_with_the_control_tokens(
    raw_tokenizer: tokenizers.Tokenizer,
) -> None:
    assert raw_tokenizer.get_vocab_size() == 1024 == Sizes().vocabulary
    assert [raw_tokenizer.id_to_token(index) for index in range(CONTROL_IDS)] == list(CONTROLS)


def test_every_word_of_the_world_is_one_token(tokenizer: Tokenizer) -> None:
    words = [f" {kind.name}" for kind in KINDS] + [f" {kind.plural}" for kind in KINDS]
    words += [f" {colour}" for colour in COLOURS] + [f" {place}" for place in PLACES]
    words += [str(number) for number in range(9)] + [f" {number}" for number in range(1, 9)]
    words += ["Yes", "No", "Nothing", "I", " find"]
    assert [word for word in words if len(tokenizer.encode(word)) != 1] == []


def test_class_words_are_different_tokens(tokenizer: Tokenizer) -> None:
    ids = {tokenizer.encode(f" {kind.name}")[0] for kind in KINDS}
    assert len(ids) == len(KINDS)


@given(parts=st.lists(st.one_of(st.text(max_size=12), st.sampled_from(CONTROLS)), max_size=5))
def test_no_text_becomes_a_control_token_and_all_text_comes_back(
    tokenizer: Tokenizer, parts: list[str]
) -> None:
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert all(CONTROL_IDS <= index < 1024 for index in ids)
    assert tokenizer.decode(ids) == text


def test_templates_are_those_of_moondream(raw_tokenizer: tokenizers.Tokenizer, tokenizer: Tokenizer) -> None:
    read = Moondream2Config.from_dict(Sizes().config(templates(raw_tokenizer))).tokenizer
    for length in ("short", "normal", "long"):
        assert read.caption[length] == (1, *tokenizer.encode("describe"), 2, *tokenizer.encode(length), 3)
    assert len(set(read.caption.values())) == 3
    for task, prefix, suffix in (
        ("query", read.query_prefix, read.query_suffix),
        ("detect", read.detect_prefix, read.detect_suffix),
        ("point", read.point_prefix, read.point_suffix),
    ):
        assert prefix == (1, *tokenizer.encode(task), 2)
        assert suffix == (3,)


def test_a_tokenizer_is_trained_once_and_then_read(tokenizer_file: Path) -> None:
    before = tokenizer_file.read_bytes()
    again = load_tokenizer(tokenizer_file, MOONDREAM3)  # a file that exists is not changed
    assert again.get_vocab_size() == 1024
    assert tokenizer_file.read_bytes() == before


def test_path_numbers_become_tokens_and_the_rest_stays(
    raw_tokenizer: tokenizers.Tokenizer, raw_tokenizer3: tokenizers.Tokenizer
) -> None:
    before, after = raw_tokenizer.get_vocab(), raw_tokenizer3.get_vocab()
    assert after.items() >= before.items()
    assert SPRITE_3.sizes.vocabulary - 8 < len(after) <= SPRITE_3.sizes.vocabulary
    for number in range(0, 961, 20):
        ((index,),) = (raw_tokenizer3.encode(f" {number}").ids,)
        assert raw_tokenizer3.decode([index]).strip() == str(number)
    for text in ("How many dogs are there?", "Two red cars and a cat.", " dog 1", "segment"):
        assert raw_tokenizer3.encode(text).ids == raw_tokenizer.encode(text).ids


@pytest.mark.parametrize("conventions", [MOONDREAM2, MOONDREAM3])
def test_coordinates_come_back_from_their_bins(conventions: Conventions) -> None:
    for index in range(BINS):
        value = Coord.from_bin(index, conventions.coord_steps).value
        assert coord_bin(value, conventions.coord_steps) == index
    assert coord_bin(1.0, conventions.coord_steps) == BINS - 1


@given(value=fractions)
def test_coordinates_round_to_the_nearest_bin_the_engine_knows(value: float) -> None:
    index = coord_bin(value)
    assert 0 <= index < BINS
    last = (BINS - 1) / BINS  # exactly 1 has no bin
    assert abs(Coord.from_bin(index).value - min(value, last)) <= 0.5 / BINS


@settings(deadline=None)
@given(width=fractions, height=fractions)
def test_sizes_round_to_the_nearest_bin_the_engine_knows(width: float, height: float) -> None:
    bins = size_bin(width), size_bin(height)
    decoded = Size.from_bins(*bins)
    half_step = 2 ** (5 / (BINS - 1))
    for value, found in ((width, decoded.w), (height, decoded.h)):
        assert 1 / half_step - 1e-5 <= found / max(value, 1 / 1024) <= half_step + 1e-5


@pytest.mark.parametrize(
    ("value", "index"), [(0.0, 0), (1 / 1024, 1), (0.5, 512), (1.0, 1023), (1.2, 1023), (-0.1, 0)]
)
def test_coordinate_bins(value: float, index: int) -> None:
    assert coord_bin(value) == index


@pytest.mark.parametrize(
    ("value", "index"), [(0.0, 0), (1 / 1024, 0), (1.0, 1023), (2.0, 1023), (2**-5, 512)]
)
def test_size_bins(value: float, index: int) -> None:
    assert size_bin(value) == index
