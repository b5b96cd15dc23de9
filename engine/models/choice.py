"""What a step decides on the device: an id for every row, the bins of its numbers, and what is fed next.

Nobody on the host knows yet whose id will announce a number. So bins are decided for every row, or for those
rows alone where the device tells them apart without waiting. What is fed next is selected there as well: no
id has to leave the device to become an input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import GREEDY_BELOW, Array, Device
from dreamscope.engine.devices.program import Choice, Draw, Features
from dreamscope.engine.devices.runner import Limits, Rule
from dreamscope.engine.models import region
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.region import RegionWeights

_FOLDED, _COORD, _SIZE = range(3)
_COORD_HEADS, _SIZE_HEADS = (1,), (2, 3)


class RuleTable:
    """The rules of a device by their index: which ids are allowed, and how the chosen one is read."""

    def __init__(self, device: Device, limits: Limits, ids: TokenizerConfig) -> None:
        count = 1 + limits.masks + 2 * limits.rows
        self._ids = ids
        self._changed: set[int] = set()
        self.allowed = device.mirror(np.ones((count, limits.vocab), bool))
        self.readings = device.mirror(np.full((count, 3), (-1, 0, 0), np.int64))
        """What stands in for every id but the end, and whether coordinates and sizes are read."""

    def set(self, index: int, rule: Rule) -> None:
        """Write a rule on the host; it counts from the next upload."""
        self._changed.add(index)
        row = self.allowed.host[index]
        row[:] = rule.allowed is None
        if rule.allowed is not None:
            row[list(rule.allowed)] = True
        if rule.mask is not None:
            listed = np.frombuffer(rule.mask, bool)[: len(row)]
            row[: len(listed)] &= listed
            row[len(listed) :] = False
        row[list(rule.suppressed)] = False
        numbers = (self._ids.coord_id in rule.numbers, self._ids.size_id in rule.numbers)
        self.readings.host[index] = (-1 if rule.folded is None else rule.folded, *numbers)

    def upload(self) -> None:
        """Bring what was written since to the device."""
        if self._changed:
            rows = sorted(self._changed)
            self._changed.clear()
            self.allowed.upload(rows)
            self.readings.upload(rows)

    def read_numbers(self, indices: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a number."""
        return bool(self.readings.host[indices, _COORD:].any())

    def read_sizes(self, indices: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a size."""
        return bool(self.readings.host[indices, _SIZE].any())


def choose(
    device: Device,
    weights: RegionWeights,
    config: TokenizerConfig,
    table: RuleTable,
    features: Features,
    rules: Array,
    draw: Draw | None,
    numbers: bool,
    sizes: bool,
) -> tuple[Choice, Array]:
    """Decide for rows under the rules with indices `[n]`; also what is fed next, as `pending` keeps it.

    `draw` is `None` if all rows are greedy; `numbers`: whether any of the rules reads one,
    `sizes`: whether that may be a size.
    """
    logits = features.logits
    vocab = table.allowed.host.shape[1]
    settings = None if draw is None else (draw.temperature, draw.top_p, draw.uniforms[:, 0])
    sampled = device.sample(logits, table.allowed.array, rules, settings)
    possible = sampled >= 0
    ids = device.where(possible, sampled, 0)
    readings = device.take(table.readings.array, rules, 0)
    folded = (readings[:, _FOLDED] >= 0) & (sampled != config.eos_id) & possible
    fed = device.where(folded, readings[:, _FOLDED], ids)
    told = device.where(possible, fed, -1)
    zero = fed * 0
    probability = device.take_along(device.softmax(logits), ids[:, None])[:, 0]
    if not numbers:
        picked, nexts = (told, zero, zero, zero), (fed, zero, zero)
        return Choice(_columns(device, picked), None, None, probability), _columns(device, nexts)
    drawn = draw if config.rules.samples_numbers else None
    hidden, width, height, size_logits = features.hidden, zero, zero, None
    reads_coord = (readings[:, _COORD] == 1) & (fed == config.coord_id)
    decode = partial(region.decode_coords, device, weights)
    (coord,), coord_logits = _numbers(device, decode, hidden, reads_coord, drawn, _COORD_HEADS)
    first = coord
    if sizes:
        reads_size = (readings[:, _SIZE] == 1) & (fed == config.size_id)
        decode = partial(region.decode_sizes, device, weights)
        (width, height), size_logits = _numbers(device, decode, hidden, reads_size, drawn, _SIZE_HEADS)
        fed = device.where(reads_size, zero + (vocab + 1), fed)
        first = device.where(reads_coord, coord, width)
    fed = device.where(reads_coord, zero + vocab, fed)
    picked = _columns(device, (told, coord, width, height))
    return Choice(picked, coord_logits, size_logits, probability), _columns(device, (fed, first, height))


def _numbers(
    device: Device,
    decode: Callable[[Array], Array],
    hidden: Array,
    reads: Array,
    draw: Draw | None,
    heads: Sequence[int],
) -> tuple[Sequence[Array], Array]:
    """For each head the bins `[n]`, and the logits of all: of the rows that `reads` `[n]` has, at least.

    `heads` say which of the numbers of a row draw. Rows that are left out have zeros.
    """
    rows = device.true_places(reads)
    if rows is None:
        logits = device.widen(decode(hidden))
        return _picks(device, logits, draw, heads), logits
    if draw is not None:
        parts = (draw.temperature, draw.top_p, draw.uniforms)
        draw = Draw(*(device.take(part, rows, 0) for part in parts))
    logits = device.widen(decode(device.take(hidden, rows, 0)))
    bins = [device.store(reads * 0, rows, picked) for picked in _picks(device, logits, draw, heads)]
    all_logits = device.widen(device.zeros((hidden.shape[0], *logits.shape[1:])))
    return bins, device.store(all_logits, rows, logits)


def _picks(device: Device, logits: Array, draw: Draw | None, heads: Sequence[int]) -> Sequence[Array]:
    """The bin of each head, whose logits are all of `[n, bins]` or one of `[n, heads, bins]`."""
    several = [logits] if len(heads) == 1 else [logits[:, place] for place in range(len(heads))]
    return [_pick(device, one, draw, head) for one, head in zip(several, heads, strict=True)]


def _pick(device: Device, logits: Array, draw: Draw | None, head: int) -> Array:
    """The best index of each row, or what its number of that head says where it draws."""
    best = device.argmax(logits)
    if draw is None:
        return best
    draws = draw.temperature >= GREEDY_BELOW
    temperature = device.where(draws, draw.temperature, 1)
    drawn = device.draw(logits, temperature, draw.top_p, draw.uniforms[:, head])
    return device.where(draws, drawn, best)


def _columns(device: Device, columns: tuple[Array, ...]) -> Array:
    return device.concat([column[:, None] for column in columns], 1)
