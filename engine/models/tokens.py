"""The typed tokens of a sequence, and the values behind the bins of the region model.

A prompt is a list of `PromptItem`: a plain `int` is a text token (a row of `text.wte`), a `Coord` or a
`Size` is a number that the region model turns into an embedding. A decoded token is a `Text`, a `Coord`
or a `Size`. Where it was asked for, a decoded token also says how probable the model held it, or how the
distribution over the bins lies; that is no part of what the token is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.results import Spread

CONTROL_IDS = 21  # ids 0..20 are control tokens and never stand for text


@dataclass(frozen=True, slots=True)
class Text:
    """A decoded text or control token."""

    id: int
    probability: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Coord:
    """One axis of a place, a fraction of the image. `bin` is `None` when a user gave the value."""

    value: float
    bin: int | None = None
    spread: Spread | None = field(default=None, compare=False)

    @classmethod
    def from_bin(cls, index: int, count: int = 1024) -> Coord:
        """What bin `index` stands for: a step of `1 / count`, in float32."""
        return cls(float(coord_values(np.array(index), count)), index)


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a box, fractions of the image. `bins` is `None` when a user gave the values."""

    w: float
    h: float
    bins: tuple[int, int] | None = None
    spreads: tuple[Spread, Spread] | None = field(default=None, compare=False)

    @classmethod
    def from_bins(cls, w: int, h: int, count: int = 1024) -> Size:
        """Sizes on a logarithmic scale: bin 0 is 2^-10, bin `count - 1` is the whole image."""
        table = size_values(np.array([w, h]), count)
        return cls(float(table[0]), float(table[1]), (w, h))


@dataclass(frozen=True, slots=True)
class Picture:
    """The place of an image in a prompt: all of its rows. `index` counts the images of the request."""

    index: int


Token = Text | Coord | Size
PromptItem = int | Coord | Size


def coord_values(bins: NDArray[np.integer], count: int = 1024) -> NDArray[np.float32]:
    """`bin / count` in float32."""
    return bins.astype(np.float32) / np.float32(count)


def size_values(bins: NDArray[np.integer], count: int = 1024) -> NDArray[np.float32]:
    """`2^(bin / (count - 1) * 10 - 10)` with every step rounded to float32, as the reference computes it.

    The power itself is taken in float64 and rounded once: float32 `exp2` can be off by one unit.
    """
    scaled = bins.astype(np.float32) / np.float32(count - 1)
    exponent = scaled * np.float32(10) - np.float32(10)
    return np.exp2(exponent.astype(np.float64)).astype(np.float32)
