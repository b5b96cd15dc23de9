"""From logits to a token id, on the host, in float32.

Every draw takes its uniform number from a counter-based generator keyed by the request's seed and the index
of the decision, so a seeded request gives the same tokens whatever runs before it or beside it.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.skills.base import Sampling, Step

GREEDY_BELOW = 1e-5
"""Temperatures under this are greedy: dividing float32 logits by them leaves one token anyway."""


class Sampler:
    """Decides the text tokens of one request. Not shared between requests."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        self._seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._index = 0

    def pick(self, logits: NDArray[np.float32], step: Step) -> int:
        """An id for logits `[V]` under the mask of `step`; among equals, greedy takes the lowest.

        Raises `FloatingPointError` if no id is possible: the model produced NaN or everything is masked.
        """
        logits = masked(logits, step)
        best = int(np.argmax(logits))  # a NaN wins an argmax
        if not np.isfinite(logits[best]):
            raise FloatingPointError(f"The best logit is {logits[best]}; no token can be chosen.")
        index, self._index = self._index, self._index + 1
        if self._temperature < GREEDY_BELOW:
            return best
        return draw(distribution(logits, self._temperature, self._top_p), uniform(self._seed, index))


def masked(logits: NDArray[np.float32], step: Step) -> NDArray[np.float32]:
    """The logits with `-inf` where the step forbids an id."""
    if step.allowed is not None:
        only = np.full_like(logits, -np.inf)
        ids = list(step.allowed)
        only[ids] = logits[ids]
        logits = only
    if step.mask is not None:
        known = len(step.mask)
        only = np.full_like(logits, -np.inf)
        np.copyto(only[:known], logits[:known], where=step.mask)
        logits = only
    if step.suppressed:
        logits = logits.copy()
        logits[list(step.suppressed)] = -np.inf
    return logits


def distribution(logits: NDArray[np.float32], temperature: float, top_p: float) -> NDArray[np.float32]:
    """Probabilities `[V]` after temperature and nucleus filtering.

    An id is dropped if the ids before it in descending order weigh more than `top_p`, so the best one
    always stays and `top_p` 0 is greedy.
    """
    p = np.exp((logits - logits.max()) / np.float32(temperature))
    p /= p.sum()
    if top_p >= 1:
        return p
    # Ids under this weight weigh less than 1 - top_p together: none can be kept, so they need no sorting.
    likely = np.flatnonzero(p >= (1 - top_p) / len(p))
    order = likely[np.argsort(-p[likely], kind="stable")]
    ranked = p[order]
    kept = order[np.cumsum(ranked) - ranked <= top_p]
    nucleus = np.zeros_like(p)
    nucleus[kept] = p[kept] / p[kept].sum()
    return nucleus


def draw(probabilities: NDArray[np.float32], u: float) -> int:
    """The id at which the cumulative distribution, in id order, passes `u` in [0, 1)."""
    ids = np.flatnonzero(probabilities)
    cumulative = np.cumsum(probabilities[ids], dtype=np.float64)
    place = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
    return int(ids[min(place, len(ids) - 1)])


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    bits = int(np.random.Philox(key=seed, counter=index).random_raw())
    return (bits >> 11) * 2.0**-53
