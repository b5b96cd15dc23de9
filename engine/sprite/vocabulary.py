"""The Sprite tokenizer and the token form of a pair.

Byte-level BPE over the text of the world; ids 0..20 are control tokens with the names and roles of the real
vocabulary. The sequences are those of the family: one id 3 between reasoning and answer, and what the family
puts between a question and its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from dreamscope.engine.sprite.conventions import MOONDREAM2, Conventions
from dreamscope.engine.sprite.outline import STEP, VIEW_BOX
from dreamscope.engine.sprite.pairs import Extent, Item, Pair, Path, Place, Span
from dreamscope.engine.sprite.questions import Questioner
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


def with_path_numbers(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, with every number of a path as one token; existing ids stay.

    The added merges come last, so only texts that hold such a number are cut differently.
    """
    data = json.loads(tokenizer.to_str())
    for number in range(0, VIEW_BOX + 1, STEP):
        while len(tokens := tokenizer.encode(f" {number}").tokens) > 1:
            first, second = tokens[:2]
            data["model"]["vocab"][first + second] = len(data["model"]["vocab"])
            data["model"]["merges"].append([first, second])
            tokenizer = Tokenizer.from_str(json.dumps(data))
    return tokenizer


def templates(tokenizer: Tokenizer, conventions: Conventions = MOONDREAM2) -> dict[str, object]:
    """The prompt templates of the `tokenizer` config group."""

    def ids(text: str) -> list[int]:
        encoded: list[int] = tokenizer.encode(text).ids
        return encoded

    lengths = {name: [1, *ids("describe"), 2, *ids(name), 3] for name in ("short", "normal", "long")}
    named = {skill: {"prefix": [1, *ids(skill), 2], "suffix": [3]} for skill in conventions.templates}
    return {"caption": lengths, **named}


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


DRAWN = 0.35
"""The same of a token of a path, unless the recipe says otherwise: a path is as long as seven answers."""


class PairEncoder:
    """Turns pairs into tokens. `drawn` is the loss weight of a token of a path."""

    def __init__(
        self, tokenizer: Tokenizer, conventions: Conventions = MOONDREAM2, drawn: float = DRAWN
    ) -> None:
        self._tokenizer = tokenizer
        self._conventions = conventions
        self._drawn = drawn
        self._templates: dict[str, dict[str, list[int]]] = templates(tokenizer, conventions)  # type: ignore[assignment]

    def __call__(self, pair: Pair) -> Tokens:
        """Prompt tokens carry weight 0, target tokens are learned."""
        out = Tokens()
        self._prompt(out, pair)
        out.weight = [0.0] * len(out.weight)
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

    def _prompt(self, out: Tokens, pair: Pair) -> None:
        prefix, argument, suffix = self._frame(pair)
        for token in prefix:
            out.add(token, 0.0)
        self._items(out, pair.references)
        for token in (*self.text(argument), *suffix):
            out.add(token, 0.0)

    def _frame(self, pair: Pair) -> tuple[Sequence[int], str, Sequence[int]]:
        """What stands before the argument, the argument, and what stands behind it."""
        if pair.task == "caption":
            return self._templates["caption"][pair.argument], "", ()
        if pair.task in ("query", "reason"):
            conventions = self._conventions
            opener = conventions.reasoned if pair.task == "reason" else conventions.direct
            return self._templates["query"]["prefix"], pair.argument, opener
        argument = pair.argument if pair.task == "segment" else f" {pair.argument}"
        return self._templates[pair.task]["prefix"], argument, (ANSWER,)

    def _items(self, out: Tokens, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, str):
                for token in self.text(item):
                    out.add(token, 1.0)
            elif isinstance(item, Place):
                self._place(out, item, 1.0)
            elif isinstance(item, Extent):
                out.add(SIZE, FORCED, size=(size_bin(item.w), size_bin(item.h)))
            elif isinstance(item, Path):
                for token in (token for word in item.words for token in self.text(word)):
                    out.add(token, self._drawn)
            else:
                out.add(OPEN, 1.0)
                self._place(out, item.place, FORCED)
                for token in self.text(item.text):
                    out.add(token, 1.0)
                out.add(CLOSE, FORCED)

    def _place(self, out: Tokens, place: Place, weight: float) -> None:
        out.add(COORD, weight, coord_bin(place.x, self._conventions.coord_steps))
        out.add(COORD, FORCED, coord_bin(place.y, self._conventions.coord_steps))


def coord_bin(value: float, steps: int = MOONDREAM2.coord_steps) -> int:
    """Bin of a coordinate: value = bin / steps."""
    return min(BINS - 1, max(0, round(value * steps)))


def size_bin(value: float) -> int:
    """Bin of a size: value = 2 ** (bin / 1023 * 10 - 10)."""
    return min(BINS - 1, max(0, round((np.log2(max(value, 1 / 1024)) + 10) / 10 * (BINS - 1))))
