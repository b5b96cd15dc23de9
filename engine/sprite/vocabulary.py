"""The Sprite tokenizer and the token form of a pair.

Byte-level BPE over the text of the world; ids 0..20 are control tokens with the names and roles of the real
vocabulary. The sequences are those of Moondream 2: one id 3 between reasoning and answer, two before a direct
answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from dreamscope.engine.sprite.questions import Extent, Item, Pair, Place, Questioner, Span
from dreamscope.engine.sprite.scenes import SceneMaker, Stage
from dreamscope.engine.sprite.world import COLOUR_WORDS, KINDS

EOS, ANSWER, THINK, COORD, SIZE, OPEN, CLOSE = 0, 3, 4, 5, 6, 7, 9
CONTROL = ("<|endoftext|>", *(f"<|md_reserved_{k}|>" for k in range(20)))
BINS = 1024


def train_tokenizer(size: int, seed: int = 0) -> Tokenizer:
    """A tokenizer of at most `size` entries from generated text and every word of the full world."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    return tokenizer


def _corpus(seed: int) -> Iterable[str]:
    classes = tuple(kind.name for kind in KINDS)
    rng = np.random.default_rng([seed, 5])
    maker = SceneMaker(Stage(side=32, classes=classes, most=8), seed, pool_size=40)
    questioner = Questioner(classes)
    for _ in range(2500):
        scene = maker.make(rng)
        for _ in range(4):
            pair = questioner.draw(rng, scene)
            yield pair.argument
            for item in (*pair.reasoning, *pair.target):
                if isinstance(item, (str, Span)):
                    yield item if isinstance(item, str) else item.text
    words = [kind.name for kind in KINDS] + [kind.plural for kind in KINDS] + list(COLOUR_WORDS)
    words += ["query", "describe", "short", "normal", "long", "point", "detect", "segment", "M", "L", "Z"]
    words += [str(20 * k) for k in range(49)]
    for word in words:
        yield from (word, f" {word}", f" {word.capitalize()}", word.capitalize()) * 3


def templates(tokenizer: Tokenizer) -> dict[str, object]:
    """The prompt templates of the `tokenizer` config group."""

    def ids(text: str) -> list[int]:
        encoded: list[int] = tokenizer.encode(text).ids
        return encoded

    lengths = {name: [1, *ids("describe"), 2, *ids(name), 3] for name in ("short", "normal", "long")}
    return {
        "caption": lengths,
        "query": {"prefix": [1, *ids("query"), 2], "suffix": [3]},
        "detect": {"prefix": [1, *ids("detect"), 2], "suffix": [3]},
        "point": {"prefix": [1, *ids("point"), 2], "suffix": [3]},
    }


@dataclass(slots=True)
class Tokens:
    """A pair as parallel lists; `value` is the coordinate bin, `size` the width and height bins."""

    ids: list[int] = field(default_factory=list)
    value: list[int] = field(default_factory=list)
    size: list[tuple[int, int]] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)  # loss weight of predicting this token

    def add(self, token: int, weight: float, value: int = 0, size: tuple[int, int] = (0, 0)) -> None:
        """Append one token."""
        self.ids.append(token)
        self.weight.append(weight)
        self.value.append(value)
        self.size.append(size)


FORCED = 0.15
"""Loss weight of a token that the structure forces: second coordinate, size, end of span."""


class PairEncoder:
    """Turns pairs into tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._templates: dict[str, dict[str, list[int]]] = templates(tokenizer)  # type: ignore[assignment]

    def __call__(self, pair: Pair) -> Tokens:
        """Prompt tokens carry weight 0, target tokens are learned."""
        out = Tokens()
        for token in self._prompt(pair):
            out.add(token, 0.0)
        if pair.task == "reason":
            self._items(out, pair.reasoning)
            out.add(ANSWER, 1.0)
        self._items(out, pair.target)
        out.add(EOS, 1.0)
        return out

    def text(self, text: str) -> list[int]:
        """Ids of plain text."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _prompt(self, pair: Pair) -> list[int]:
        if pair.task == "caption":
            return self._templates["caption"][pair.argument]
        if pair.task in ("point", "detect"):
            return [*self._templates[pair.task]["prefix"], *self.text(f" {pair.argument}"), 3]
        opener = THINK if pair.task == "reason" else ANSWER
        return [*self._templates["query"]["prefix"], *self.text(pair.argument), ANSWER, opener]

    def _items(self, out: Tokens, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, str):
                for token in self.text(item):
                    out.add(token, 1.0)
            elif isinstance(item, Place):
                out.add(COORD, 1.0, coord_bin(item.x))
                out.add(COORD, FORCED, coord_bin(item.y))
            elif isinstance(item, Extent):
                out.add(SIZE, FORCED, size=(size_bin(item.w), size_bin(item.h)))
            else:
                out.add(OPEN, 1.0)
                out.add(COORD, FORCED, coord_bin(item.place.x))
                out.add(COORD, FORCED, coord_bin(item.place.y))
                for token in self.text(item.text):
                    out.add(token, 1.0)
                out.add(CLOSE, FORCED)


def coord_bin(value: float) -> int:
    """Bin of a coordinate: value = bin / 1024."""
    return min(BINS - 1, max(0, round(value * BINS)))


def size_bin(value: float) -> int:
    """Bin of a size: value = 2 ** (bin / 1023 * 10 - 10)."""
    return min(BINS - 1, max(0, round((np.log2(max(value, 1 / 1024)) + 10) / 10 * (BINS - 1))))
