"""Grammars: which ids may come next so that the text will be complete and well-formed JSON.

A schema is checked when a request arrives, without a model; what the tokenizer makes of it is worked out
when the answer begins. The library behind both is `llguidance`, and no other module knows it: it runs on
the host and needs nothing but the bytes of every token, so it is the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS

OPTIONS: Mapping[str, object] = {
    # At most one space after a comma or a colon, none elsewhere: a model cannot go on writing blanks.
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    # No \\u: it could spell half of a surrogate pair, or the name of a property in disguise.
    "json_allowed_escapes": 'bfnrt"\\\\',
}
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)


class GrammarError(ValueError):
    """A schema that cannot be compiled, or a state that the library gave up on; the text says why."""


class Grammar(Protocol):
    """The state of one constrained text."""

    def allowed(self) -> NDArray[np.bool_]:
        """The ids `[V]` that may come next; the end is one of them once the text is complete."""

    def advance(self, token_id: int) -> None:
        """Take an id that was allowed."""

    @property
    def finished(self) -> bool:
        """Whether nothing but the end may follow."""


class JsonGrammar:
    """A grammar over the tokens of one tokenizer. Raises `GrammarError` from every method if it fails."""

    def __init__(self, trie: LLTokenizer, source: str) -> None:
        self._matcher = LLMatcher(trie, source, limits=LIMITS, log_level=0)
        self._size = trie.vocab_size
        self._check()

    def allowed(self) -> NDArray[np.bool_]:
        """The ids `[V]` that may come next; the end is one of them once the text is complete."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, count=self._size, bitorder="little").view(np.bool_)

    def advance(self, token_id: int) -> None:
        """Take an id that was allowed."""
        self._matcher.consume_token(token_id)
        self._check()

    @property
    def finished(self) -> bool:
        """Whether nothing but the end may follow."""
        return bool(self._matcher.is_accepting() and self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().partition("\n")[0]
            raise GrammarError("no text can follow" if reason.startswith("NoExtension") else reason)


class Grammars:
    """The grammars of one tokenizer. Nothing is built before the first one; one thread at a time."""

    def __init__(self, tokenizer: Tokenizer, eos_id: int) -> None:
        self._tokenizer = tokenizer
        self._eos_id = eos_id

    def json(self, schema: str) -> Grammar:
        """The grammar of a JSON Schema that `check_schema` has passed. Raises `GrammarError`."""
        return JsonGrammar(self._trie, _source(schema))

    @cached_property
    def _trie(self) -> LLTokenizer:
        return _trie(self._tokenizer.token_bytes(), self._tokenizer.encode, self._eos_id)


def check_schema(schema: str) -> None:
    """Compile a JSON Schema, up to its first token. Raises `GrammarError` saying what is wrong with it."""
    letters = [b""] * CONTROL_IDS + [bytes([byte]) for byte in range(256)]
    bytewise = _trie(letters, lambda text: [CONTROL_IDS + byte for byte in text.encode()], 0)
    JsonGrammar(bytewise, _source(schema)).allowed()


def _source(schema: str) -> str:
    try:
        return LLMatcher.grammar_from_json_schema(schema, overrides=dict(OPTIONS))  # type: ignore[arg-type]
    except ValueError as error:
        raise GrammarError(str(error)) from None


def _trie(tokens: Sequence[bytes], encode: Callable[[str], list[int]], eos_id: int) -> LLTokenizer:
    vocabulary = _Vocabulary(tokens, encode, eos_id, range(CONTROL_IDS))
    return LLTokenizer(TokenizerWrapper(vocabulary), slices=[])


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """A tokenizer as the library wants to see it; it encodes the texts that a grammar forces."""

    tokens: Sequence[bytes]
    encode: Callable[[str], list[int]]
    eos_token_id: int
    special_token_ids: Sequence[int]
    bos_token_id: int | None = None

    def __call__(self, text: str) -> list[int]:
        """Ids of a text."""
        return self.encode(text)
