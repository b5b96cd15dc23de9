"""Any model as a runner, one row after the other on the thread that calls: what other runners have to match.

Every row has a plain cache of its own. Pages only say where something is to be found: a prefix that was read
before is copied from the cache that holds its last page.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array
from dreamscope.engine.devices.runner import (
    Detail,
    Draws,
    ImageKey,
    Limits,
    Prefill,
    Rule,
    StepHost,
    positions_of,
)
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import Coord, Picture, PromptItem, Size
from dreamscope.engine.runtime.pictures import prefill_pictures
from dreamscope.engine.runtime.sampling import distribution, draw, masked
from dreamscope.engine.runtime.spread import probability_of
from dreamscope.engine.skills.base import Step


class Done:
    """Implements `Event` for what is over when its call returns."""

    def __init__(self) -> None:
        self._moment = time.monotonic()

    def query(self) -> bool:
        """It has happened."""
        return True

    def wait(self, timeout: float | None = None) -> None:
        """There is nothing to wait for."""

    def ready_at(self) -> float:
        """When it was made."""
        return self._moment


@dataclass(slots=True, eq=False)
class _Work:
    rows: list[int]
    hidden: list[Array]
    draws: Draws
    host: StepHost | None = None


@dataclass(slots=True)
class _Choice:
    """What one row decided: id, coordinate bin, size bins; probability of the id and logits of the bins."""

    id: int
    coord: int = 0
    size: tuple[int, int] = (0, 0)
    p: float = 0.0
    coords: NDArray[np.float32] | None = None
    sizes: NDArray[np.float32] | None = None


class RowRunner:
    """Implements `ModelRunner`. Images are `Crops`, adapters `lora.Adapter`."""

    name = "rows"

    def __init__(self, model: Model, limits: Limits) -> None:
        self.limits = limits
        self._model = model
        self._pages: dict[int, Sequence[int]] = {}
        self._holders: dict[int, KVCache] = {}  # page -> the cache in which it lies
        self._caches: dict[int, KVCache] = {}  # row -> its cache
        self._pending: dict[int, PromptItem] = {}
        self._adapters: dict[int, Adapter | None] = {0: None}
        self._rules: dict[int, Rule] = {0: Rule()}
        self._work: dict[int, _Work] = {}

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        """Map a row."""
        self._pages[row] = tuple(pages)

    def set_mask(self, index: int, rule: Rule) -> None:
        """Keep a rule."""
        self._rules[index] = rule

    def load_adapter(self, slot: int, adapter: Any) -> None:
        """Keep an adapter."""
        self._adapters[slot] = adapter

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Draws) -> None:
        """Read prompts."""
        hidden = [self._read(one) for one in rows]
        self._work[slot] = _Work([one.row for one in rows], hidden, draws)

    def decode(
        self,
        slot: int,
        rows: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapters: NDArray[np.int32],
        draws: Draws,
    ) -> None:
        """Feed the pending elements."""
        hidden = []
        for row, position, adapter in zip(rows.tolist(), positions.tolist(), adapters.tolist(), strict=True):
            cache = self._caches[row]
            cache.rewind(position)
            hidden.append(
                self._model.forward(self._model.embed([self._pending[row]]), cache, self._adapters[adapter])
            )
            self._holders[self._pages[row][position]] = cache
        self._work[slot] = _Work(rows.tolist(), hidden, draws)

    def sample(self, slot: int, masks: NDArray[np.int32]) -> Done:
        """Choose."""
        work = self._work[slot]
        choices = []
        for place, (row, hidden) in enumerate(zip(work.rows, work.hidden, strict=True)):
            choice = self._choose(hidden, self._rules[int(masks[place])], work.draws, place)
            self._pending[row] = self._element(choice)
            choices.append(choice)
        ids = np.array([one.id for one in choices], np.int64)
        coord = np.array([one.coord for one in choices], np.int32)
        size = np.array([one.size for one in choices], np.int32)
        work.host = StepHost(ids, coord, size, detail=_detail(choices) if work.draws.detail else None)
        return Done()

    def read(self, slot: int) -> StepHost:
        """What was chosen."""
        host = self._work[slot].host
        assert host is not None
        return host

    def fence(self) -> None:
        """Nothing is queued."""

    def close(self) -> None:
        """Forget everything."""
        self._holders.clear()
        self._caches.clear()

    def _read(self, prompt: Prefill) -> Array:
        model, pages = self._model, self._pages[prompt.row]
        adapter = self._adapters[prompt.adapter]
        known = positions_of(prompt.elements[: prompt.skip])
        if known:
            cache = self._holders[pages[known - 1]].copy_of_prefix(known, len(pages))
        else:
            cache = model.new_cache(len(pages))
        items: list[PromptItem | Picture] = []
        images: list[Any] = []
        for element in prompt.elements[prompt.skip :]:
            if isinstance(element, ImageKey):
                items.append(Picture(len(images)))
                images.append(prompt.images[len(images)])
            else:
                items.append(element)  # type: ignore[arg-type]
        rest = prefill_pictures(model, items, lambda index: model.encode_image(images[index]), cache, adapter)
        hidden = model.forward(model.embed(rest), cache, adapter)
        self._caches[prompt.row] = cache
        self._holders.update(dict.fromkeys(pages[known : positions_of(prompt.elements)], cache))
        return hidden

    def _choose(self, hidden: Array, rule: Rule, draws: Draws, place: int) -> _Choice:
        ids = self._model.config.tokenizer
        choice = self._choose_id(hidden, rule, draws, place)
        if rule.folded is not None and choice.id > ids.eos_id:
            choice.id = rule.folded
        if choice.id in rule.numbers:
            numbers = draws if ids.rules.samples_numbers else None
            if choice.id == ids.coord_id:
                choice.coords = self._model.coord_logits(hidden)
                choice.coord = _pick(choice.coords, numbers, place, 1)
            else:
                choice.sizes = self._model.size_logits(hidden)
                width, height = choice.sizes
                choice.size = _pick(width, numbers, place, 2), _pick(height, numbers, place, 3)
        return choice

    def _choose_id(self, hidden: Array, rule: Rule, draws: Draws, place: int) -> _Choice:
        if rule.allowed is not None and len(rule.allowed) == 1:
            (forced,) = rule.allowed
            return _Choice(forced, p=1.0)  # nothing to read from the logits
        logits = self._model.logits(hidden)
        listed = None if rule.mask is None else np.frombuffer(rule.mask, np.bool_)
        allowed = masked(logits, Step("text", rule.suppressed, rule.allowed, listed))
        if not np.isfinite(allowed.max()):
            return _Choice(-1)
        choice = _Choice(_pick(allowed, draws, place, 0))
        if draws.detail:
            choice.p = probability_of(logits, choice.id)
        return choice

    def _element(self, choice: _Choice) -> PromptItem:
        if choice.coords is not None:
            return Coord.from_bin(choice.coord, self._model.config.region.coord_steps)
        if choice.sizes is not None:
            return Size.from_bins(*choice.size, choice.sizes.shape[1])
        return max(choice.id, 0)


def _pick(logits: NDArray[np.float32], draws: Draws | None, place: int, head: int) -> int:
    if draws is None or draws.uniforms is None or not draws.temperature[place]:
        return int(np.argmax(logits))
    p = distribution(logits, float(draws.temperature[place]), float(draws.top_p[place]))
    return draw(p, float(draws.uniforms[place, head]))


def _detail(choices: Sequence[_Choice]) -> Detail:
    """Logits where a row has read them, zeros elsewhere."""
    return Detail(
        np.array([one.p for one in choices]),
        _stacked([one.coords for one in choices]),
        _stacked([one.sizes for one in choices]),
    )


def _stacked(logits: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    known = next((one for one in logits if one is not None), None)
    if known is None:
        return None
    return np.stack([np.zeros_like(known) if one is None else one for one in logits])
