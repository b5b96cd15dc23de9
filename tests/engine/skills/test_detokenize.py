"""The incremental detokeniser against one that decodes the whole line again for every token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine.skills.detokenize import Detokenizer, code_point_cut, word_cut

SAMPLE = "a bé\n一二 🙂 x\ufffdы"
token_ids = st.lists(
    st.one_of(
        st.sampled_from([21 + byte for byte in SAMPLE.encode()]),
        st.integers(0, 276),
        st.sampled_from([21 + 0x80, 21 + 0xF0, 21 + 0xE4, 21 + 0x20, 21 + 0x0A]),
    ),
    max_size=40,
)


def is_cjk(character: str) -> bool:
    code = ord(character)
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x2F800 <= code <= 0x2FA1F


def oracle(decode: Any, ids: list[int]) -> list[str]:
    """The rule as it is written down: decode everything since the last line break, print what is new."""
    cache: list[int] = []
    printed = 0
    pieces = []
    for token_id in ids:
        cache.append(token_id)
        text = decode(cache)
        piece = ""
        if text.endswith("\n"):
            piece, cache, printed = text[printed:], [], 0
        elif text and is_cjk(text[-1]):
            piece, printed = text[printed:], len(text)
        elif text.rfind(" ", printed) >= 0:
            end = text.rfind(" ", printed) + 1
            piece, printed = text[printed:end], end
        pieces.append(piece)
    pieces.append(decode(cache)[printed:])
    return [piece for piece in pieces if piece]


@given(token_ids)
def test_word_pieces_equal_the_oracle(byte_tokenizer: Any, ids: list[int]) -> None:
    stream = Detokenizer(byte_tokenizer.decode, word_cut)
    pieces = [stream.push(token_id) for token_id in ids] + [stream.flush()]
    assert [piece for piece in pieces if piece] == oracle(byte_tokenizer.decode, ids)


@pytest.mark.parametrize("cut", [word_cut, code_point_cut])
@given(ids=token_ids)
def test_pieces_add_up(byte_tokenizer: Any, cut: Any, ids: list[int]) -> None:
    stream = Detokenizer(byte_tokenizer.decode, cut)
    shown = ""
    for token_id in ids:
        shown += stream.push(token_id)
        # Nothing that was shown is ever taken back.
        assert byte_tokenizer.decode(ids).startswith(shown)
    assert shown + stream.flush() == byte_tokenizer.decode(ids)
    assert stream.flush() == ""


@given(st.text())
def test_no_replacement_character_for_valid_text(byte_tokenizer: Any, text: str) -> None:
    stream = Detokenizer(byte_tokenizer.decode, code_point_cut)
    for token_id in byte_tokenizer.encode(text):
        piece = stream.push(token_id)
        assert "\ufffd" not in piece or "\ufffd" in text


def test_code_points_are_shown_as_soon_as_they_are_complete(byte_tokenizer: Any) -> None:
    stream = Detokenizer(byte_tokenizer.decode, code_point_cut)
    pieces = [stream.push(token_id) for token_id in byte_tokenizer.encode("a🙂é")]
    assert pieces == ["a", "", "", "", "🙂", "", "é"]


def test_decoding_stays_local(byte_tokenizer: Any) -> None:
    lengths = []

    def decode(ids: list[int]) -> str:
        lengths.append(len(ids))
        return byte_tokenizer.decode(ids)

    stream = Detokenizer(decode, word_cut)
    for token_id in byte_tokenizer.encode("nospacesatall" * 50 + "🙂"):
        stream.push(token_id)
    assert max(lengths) == 4
