"""Text to token ids and back. User text can never become a control token.

The file is a `tokenizer.json` of the `tokenizers` library. Control tokens are taken out of the vocabulary
before the tokenizer is built, so that a question containing the literal text `<|endoftext|>` is encoded as
the characters it is made of. Prompts get their control ids from templates, never from text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers

from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.tokens import CONTROL_IDS

# What the published tokenizer says; the GPT-2 file that lies beside the checkpoint fails all three.
MOONDREAM_MARKERS: dict[str, int] = {"<|endoftext|>": 0, "<|md_reserved_2|>": 3, "query": 15381}


class Tokenizer:
    """Byte-level BPE over everything above the control ids. Stateless after loading; any thread."""

    def __init__(self, bpe: tokenizers.Tokenizer, vocab_size: int) -> None:
        self._bpe = bpe
        self.vocab_size = vocab_size
        """One more than the largest id in the file, control ids included."""

    @classmethod
    def load(cls, path: str | Path, markers: dict[str, int] | None = None) -> Tokenizer:
        """Read a `tokenizer.json`.

        `markers` maps texts to the id they must have (`MOONDREAM_MARKERS` for the published model). Raises
        `WeightsInvalid` if the file is not a tokenizer, if its first ids are not control tokens, or if a
        marker does not match.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsInvalid(f"{path} is not a tokenizer.json: {error}") from None
        vocab = _vocabulary(data, path)
        controls = {token: index for token, index in vocab.items() if index < CONTROL_IDS}
        named = {entry.get("content") for entry in data["added_tokens"]}
        if len(controls) < CONTROL_IDS or not set(controls) <= named:
            raise WeightsInvalid(
                f"{path} is not a Moondream tokenizer: ids 0..{CONTROL_IDS - 1} must all be control tokens. "
                "The GPT-2 tokenizer.json in the model repository does not fit; take the file of starmie-v1."
            )
        tokenizer = cls(_without_controls(data, path), max(vocab.values()) + 1)
        for text, expected in (markers or {}).items():
            found = controls.get(text)
            ids = tokenizer.encode(text) if found is None else [found]
            if ids != [expected]:
                raise WeightsInvalid(
                    f"{path} does not fit this model: {text!r} has the ids {ids}, expected [{expected}]. "
                    "Take the tokenizer.json of moondream/starmie-v1."
                )
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, each of them at least `CONTROL_IDS`, whatever the text contains."""
        ids: list[int] = self._bpe.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`. Control ids vanish; incomplete UTF-8 becomes U+FFFD."""
        text: str = self._bpe.decode([index for index in ids if index >= CONTROL_IDS])
        return text

    def token_bytes(self) -> list[bytes]:
        """The bytes of every id; none for control ids, and for added tokens that are not spelt in bytes."""
        byte_of = _byte_letters()
        spelt = [b""] * self.vocab_size
        for token, index in self._bpe.get_vocab().items():
            if all(letter in byte_of for letter in token):
                spelt[index] = bytes(byte_of[letter] for letter in token)
        return spelt


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary.

    Printable Latin-1 characters stand for themselves, the other bytes for the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _vocabulary(data: Any, path: str | Path) -> dict[str, int]:
    """Token to id, over the model and the added tokens."""
    try:
        vocab: dict[str, int] = dict(data["model"]["vocab"])
        vocab.update({entry["content"]: entry["id"] for entry in data["added_tokens"]})
    except (KeyError, TypeError, ValueError):
        raise WeightsInvalid(f"{path} has no BPE vocabulary and list of added tokens.") from None
    return vocab


def _without_controls(data: dict[str, Any], path: str | Path) -> tokenizers.Tokenizer:
    """The tokenizer with ids below `CONTROL_IDS` removed, and nothing that could insert them again."""
    vocab = data["model"]["vocab"]
    trimmed = {
        **data,
        "model": {**data["model"], "vocab": {t: i for t, i in vocab.items() if i >= CONTROL_IDS}},
        "added_tokens": [entry for entry in data["added_tokens"] if entry["id"] >= CONTROL_IDS],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(trimmed))
    except Exception as error:  # the library raises bare Exception for every malformed file
        raise WeightsInvalid(f"{path} is not a tokenizer this version reads: {error}") from None
