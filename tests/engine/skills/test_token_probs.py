"""Token probabilities against a count that decodes the whole text again for every token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.engine.skills.detokenize import REPLACEMENT, Detokenizer, code_point_cut, word_cut
from dreamscope.engine.skills.parse import parse_request
from dreamscope.engine.skills.token_probs import TokenProbs

SAMPLE = "a bé\n一二 🙂 x\ufffdы".encode()
PIECES = [
    *(bytes([byte]) for byte in [*SAMPLE, 0x80, 0xF0, 0xE4]),
    *(SAMPLE[start : start + 3] for start in range(len(SAMPLE) - 2)),
    b"",
]
"""What a token says: single bytes, pieces that begin or end inside a character, nothing."""
token_ids = st.lists(st.integers(0, len(PIECES) - 1), max_size=40)


def decode_pieces(ids: list[int]) -> str:
    return b"".join(PIECES[i] for i in ids).decode(errors="replace")


@dataclass
class Run:
    """A text written token by token: token `i` has the probability `i`."""

    stream: Detokenizer
    probs: TokenProbs
    numbers: Iterator[int] = field(default_factory=count)
    text: str = ""
    taken: list[tuple[int, float]] = field(default_factory=list)

    def push(self, token_id: int) -> None:
        piece = self.stream.push(token_id)
        self.probs.add(float(next(self.numbers)))
        self.emit(piece)

    def emit(self, piece: str) -> None:
        """Like the loops: what is taken goes out with a piece."""
        self.text += piece
        if piece:
            self.taken += self.probs.take() or ()


@pytest.fixture(scope="module", params=[word_cut, code_point_cut])
def write(request: pytest.FixtureRequest) -> Callable[[], Run]:
    def make() -> Run:
        stream = Detokenizer(decode_pieces, request.param)
        return Run(stream, TokenProbs(stream))

    return make


def added(ids: list[int]) -> list[int]:
    """Code points per token: how much longer the text is that later tokens cannot change."""
    lengths = [len(decode_pieces(ids[:end]).rstrip(REPLACEMENT)) for end in range(len(ids) + 1)]
    lengths[-1] = len(decode_pieces(ids))
    return [after - before for before, after in pairwise(lengths)]


@given(ids=token_ids)
def test_every_code_point_belongs_to_the_token_that_brought_it(write: Any, ids: list[int]) -> None:
    run = write()
    for token_id in ids:
        run.push(token_id)
        assert sum(brought for brought, _ in run.taken) <= len(run.text)
    run.emit(run.stream.flush())
    expected = [(brought, float(i)) for i, brought in enumerate(added(ids))]
    while expected and not expected[-1][0]:
        expected.pop()
    assert run.taken == expected
    assert sum(brought for brought, _ in run.taken) == len(run.text)
    assert run.probs.taken == (tuple(expected) or None)


@given(chunks=st.lists(token_ids, max_size=5))
def test_a_text_in_chunks_adds_up(write: Any, chunks: list[list[int]]) -> None:
    """The reasoning flushes its stream at every marker and goes on."""
    run = write()
    for ids in chunks:
        for token_id in ids:
            run.push(token_id)
        run.emit(run.stream.flush())
        assert sum(brought for brought, _ in run.taken) == len(run.text)
    assert [number for _, number in run.taken] == [float(i) for i in range(len(run.taken))]


def test_a_character_belongs_to_the_token_that_completes_it(byte_tokenizer: Any) -> None:
    stream = Detokenizer(byte_tokenizer.decode, code_point_cut)
    run = Run(stream, TokenProbs(stream))
    for token_id in byte_tokenizer.encode("a🙂é"):
        run.push(token_id)
    assert run.taken == [(1, 0.0), (0, 1.0), (0, 2.0), (0, 3.0), (1, 4.0), (0, 5.0), (1, 6.0)]


def test_a_word_that_is_held_back_holds_its_tokens(byte_tokenizer: Any) -> None:
    stream = Detokenizer(byte_tokenizer.decode, word_cut)
    run = Run(stream, TokenProbs(stream))
    for token_id in byte_tokenizer.encode("ab c"):
        run.push(token_id)
    assert (run.text, run.taken) == ("ab ", [(1, 0.0), (1, 1.0), (1, 2.0)])
    run.emit(stream.flush())
    assert run.taken[3:] == [(1, 3.0)]


def test_without_probabilities_there_are_none(byte_tokenizer: Any) -> None:
    stream = Detokenizer(byte_tokenizer.decode, word_cut)
    probs = TokenProbs(stream)
    for token_id in byte_tokenizer.encode("ab c"):
        stream.push(token_id)
        probs.add(None)
    assert (probs.take(), probs.taken) == (None, None)


@pytest.mark.parametrize("asked", [None, False, True])
def test_uncertainty_is_off_unless_it_is_asked_for(asked: bool | None) -> None:
    create = wire.RequestCreate(request_id="a", skill="query", question="what?", uncertainty=asked)
    assert parse_request(create).uncertainty is bool(asked)
