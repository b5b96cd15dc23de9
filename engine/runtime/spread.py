"""How the model's own distributions lie: how probable the chosen token was, and where its numbers could be.

Every figure is read off one softmax, in float64, of the logits as the model gives them: before temperature,
nucleus and masks. A probability is that of the token or bin that was chosen, given all that was decided
before it. An interval holds the central 68 or 95 percent of the probability over the bins of one axis; where
a distribution has several peaks, the chosen bin may lie outside of it.

That is how the model divides its bets, no more. Nothing has checked these figures against how often the
model is right, and they are not corrected for it: they are no error bars and not a chance of being correct.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.models.tokens import coord_values, size_values
from dreamscope.engine.results import Spread

CENTRAL_68 = (0.16, 0.84)
CENTRAL_95 = (0.025, 0.975)

BinValues = Callable[[NDArray[np.integer]], NDArray[np.float32]]
"""Bins to the numbers that they stand for, in ascending order."""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities `[V]` of logits `[V]`. Raises `FloatingPointError` if the best logit is not finite."""
    best = logits.max()  # a NaN wins
    if not np.isfinite(best):
        raise FloatingPointError(f"The best logit is {best}; it has no probability.")
    weights = np.exp(logits.astype(np.float64) - best)
    return weights / weights.sum()


def probability_of(logits: NDArray[np.float32], index: int) -> float:
    """What the model gives to `index` of logits `[V]`."""
    return float(softmax(logits)[index])


def coord_spread(logits: NDArray[np.float32], chosen: int, steps: int) -> Spread:
    """The spread of a coordinate, in steps of `1 / steps`."""
    return spread_of(logits, chosen, partial(coord_values, count=steps))


def size_spread(logits: NDArray[np.float32], chosen: int) -> Spread:
    """The spread of a width or a height, on the logarithmic scale of sizes."""
    return spread_of(logits, chosen, partial(size_values, count=len(logits)))


def spread_of(logits: NDArray[np.float32], chosen: int, values: BinValues) -> Spread:
    """The spread of one axis from its logits `[bins]`.

    An interval goes from the lowest bin at which the cumulative probability reaches the lower share to the
    lowest bin at which it reaches the upper one.
    """
    probabilities = softmax(logits)
    bins = np.searchsorted(np.cumsum(probabilities), (*CENTRAL_68, *CENTRAL_95))
    low_68, high_68, low_95, high_95 = (float(value) for value in values(bins))
    return Spread(float(probabilities[chosen]), (low_68, high_68), (low_95, high_95))
