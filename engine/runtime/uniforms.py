"""Uniform numbers that depend on nothing but the seed of a request and the index of a decision.

So a seeded request gives the same tokens at any depth, in any batch and beside anybody, as far as its logits
are the same. Three rounds of a 64-bit mixer over (seed, index, head): no state, and a whole batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.runner import HEADS

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seeds: Sequence[int], indices: Sequence[int]) -> NDArray[np.float32]:
    """Numbers in [0, 1), `[n, HEADS]`, for decision `indices[i]` of the request with `seeds[i]`."""
    with np.errstate(over="ignore"):
        keys = _mix(np.array(seeds, np.uint64) + _GOLDEN)
        counters = _mix(keys + (np.array(indices, np.uint64) + np.uint64(1)) * _GOLDEN)
        heads = _mix(counters[:, None] + np.arange(1, HEADS + 1, dtype=np.uint64) * _GOLDEN)
    return (heads >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: one to one, every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
