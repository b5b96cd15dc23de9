"""The history machine: a model whose next token is a hash of everything it can see.

What the cache keeps of a position is a code of the element there, salted with the adapter, and for BOS with
the image that follows it. A forward reads the codes of all positions back from the pages, and what it
computes depends on every one of them and on its place. A stale page table, a page given away too early, a
wrong position, or a write into a foreign page changes the tokens, so equality of tokens checks them all.

Ids: 0 ends, 5 announces a coordinate, 6 a size, as in the real models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.runner import Draws, Element, ImageKey, Rule

END, COORD, SIZE = 0, 5, 6
BINS = 1024
Codes = NDArray[np.uint64]

_COORD, _SIZE, _IMAGE, _STOP = (np.uint64(kind) << np.uint64(48) for kind in (1, 2, 3, 4))
_LOGIT_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: Codes) -> Codes:
    """Scramble 64 bits, one to one (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def coord_code(bins: NDArray[np.integer]) -> Codes:
    """Codes of coordinates by their bins."""
    return _COORD + bins.astype(np.uint64)


def size_code(bins: NDArray[np.integer]) -> Codes:
    """Codes `[n]` of sizes by their bins `[n, 2]`."""
    return _SIZE + bins[:, 0].astype(np.uint64) * np.uint64(BINS) + bins[:, 1].astype(np.uint64)


def element_code(element: Any) -> Codes:
    """The code `[]` of an id, or of a coordinate or a size; one without a bin is rounded to one."""
    if isinstance(element, int):
        return np.array(element, np.uint64)
    if hasattr(element, "bins"):
        bins = element.bins or (int(element.w * BINS), int(element.h * BINS))
        return size_code(np.array([bins]))[0]
    nearest = int(element.value * BINS) if element.bin is None else element.bin
    return coord_code(np.array(nearest))


def prompt_codes(elements: Sequence[Element], digests: Sequence[str], salt: int) -> Codes:
    """What the cache keeps of a prompt, by position. `digests` are the images in it, as they were loaded."""
    codes: list[Codes] = []
    images = iter(digests)
    for element in elements:
        if isinstance(element, ImageKey):
            seed = np.uint64(int(next(images)[:12], 16))
            codes.append(mix(_IMAGE + seed + np.arange(element.positions, dtype=np.uint64)))
            if len(codes) == 2:
                codes[0] = codes[0] ^ seed  # BOS sees the image after it
        else:
            codes.append(element_code(element).reshape(1))
    return kept_code(np.concatenate(codes), salt)


def kept_code(codes: Codes, salt: int | NDArray[np.uint64]) -> Codes:
    """What the cache keeps of these codes under an adapter."""
    return mix(codes ^ mix(np.asarray(salt, np.uint64)))


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision for each row: `ids` int64 `[n]`, bins int32 `[n]` and `[n, 2]`, codes of the elements."""

    ids: NDArray[np.int64]
    coord: NDArray[np.int32]
    size: NDArray[np.int32]
    codes: Codes


@dataclass(frozen=True, slots=True)
class HistoryMachine:
    """`stop` is the probability that an unmasked row ends."""

    vocab: int = 32
    stop: float = 0.05

    def state(self, kept: Codes, lengths: NDArray[np.integer]) -> Codes:
        """Hidden states `[n]` of histories `[n, T]`, of which `lengths` positions count."""
        place = np.arange(kept.shape[1], dtype=np.uint64)
        with np.errstate(over="ignore"):
            weighted = kept * (mix(place) | np.uint64(1))
            weighted[place[None, :] >= lengths[:, None].astype(np.uint64)] = 0
            return mix(weighted.sum(axis=1, dtype=np.uint64) + lengths.astype(np.uint64))

    def logits(self, state: Codes) -> NDArray[np.float32]:
        """`[n, V]` in [0, 1); the end is either the best or the worst."""
        with np.errstate(over="ignore"):
            spread = state[:, None] + np.arange(self.vocab, dtype=np.uint64) * _LOGIT_STEP
        logits = (mix(spread) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
        ends = (mix(state ^ _STOP) >> np.uint64(11)).astype(np.float64) * 2.0**-53 < self.stop
        logits[:, END] = np.where(ends, 2, -1)
        return logits

    def choose(self, state: Codes, rules: Sequence[Rule], draws: Draws) -> Choice:
        """Decide for rows `[n]` under their rules. `top_p` is not looked at."""
        logits = self.logits(state)
        if any(rule.mask is not None or rule.allowed is not None or rule.suppressed for rule in rules):
            logits = logits + np.stack([_bias(rule, self.vocab) for rule in rules])
        ids = np.argmax(logits, axis=1).astype(np.int64)
        coord = (mix(state ^ _COORD) % np.uint64(BINS)).astype(np.int32)
        size = (mix(state[:, None] ^ (_SIZE + np.arange(2, dtype=np.uint64))) % np.uint64(BINS)).astype(
            np.int32
        )
        if draws.uniforms is not None:
            for i in np.flatnonzero(draws.temperature > 0):
                ids[i] = _drawn(logits[i], float(draws.temperature[i]), float(draws.uniforms[i, 0]))
                coord[i] = int(draws.uniforms[i, 1] * BINS)
                size[i] = (draws.uniforms[i, 2:4] * BINS).astype(np.int32)
        ids[~np.isfinite(logits.max(axis=1))] = -1
        for place, rule in enumerate(rules):
            if rule.folded is not None and ids[place] > END:
                ids[place] = rule.folded
        codes = ids.astype(np.uint64)
        reads = np.array([int(one) in rule.numbers for one, rule in zip(ids, rules, strict=True)], bool)
        codes = np.where(reads & (ids == COORD), coord_code(coord), codes)
        codes = np.where(reads & (ids == SIZE), size_code(size), codes)
        return Choice(ids, coord, size, codes)


def _bias(rule: Rule, vocab: int) -> NDArray[np.float32]:
    allowed = np.ones(vocab, bool)
    if rule.allowed is not None:
        allowed[:] = False
        allowed[list(rule.allowed)] = True
    if rule.mask is not None:
        listed = np.frombuffer(rule.mask, bool)
        allowed[: len(listed)] &= listed
        allowed[len(listed) :] = False
    allowed[list(rule.suppressed)] = False
    return np.where(allowed, np.float32(0), np.float32(-np.inf))


def _drawn(logits: NDArray[np.float32], temperature: float, uniform: float) -> int:
    weights = np.exp((logits - logits.max()) / temperature)
    cumulative = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
