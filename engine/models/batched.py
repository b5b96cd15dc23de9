"""A model over many sequences at once, whose keys and values lie in pages.

The blocks are those of the plain model; what differs is where attention finds its keys, and that the input
of a decode step is selected on the device by what each row has pending. Everything here is queued by one
thread and waits for nothing.

    prefill    prompts end to end in one pass, each attending to its own pages
    decode     the pending element of each row, `[n, 1, D]`
    choose     ids and numbers of the rows of either, which become pending
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Rotation
from dreamscope.engine.devices.program import Choice, Draw, Features, Feeds
from dreamscope.engine.devices.runner import Element, ImageKey, Limits, Prefill, Rule, positions_of
from dreamscope.engine.models import region, text
from dreamscope.engine.models.choice import RuleTable, choose
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.lora_slots import LoraSlots
from dreamscope.engine.models.tokens import coord_values, size_values

if TYPE_CHECKING:
    from dreamscope.engine.models.base import Model


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt among others: its positions, where its new ones are in the joined rows, its pages.

    Positions below `block` see each other and the others what is before them, unless a mask says more.
    """

    first: int
    """Positions that are there already."""
    length: int
    begin: int
    pages: NDArray[np.int64]
    block: int
    mask: Array | None

    @property
    def place(self) -> slice:
        """Of the new positions in the joined rows."""
        return slice(self.begin, self.begin + self.length - self.first)


class BatchedModel:
    """Implements `Program`: keys, values and pending elements of all rows, and the passes over them."""

    def __init__(self, model: Model, limits: Limits) -> None:
        device, t = model.device, model.config.text
        self.model = model
        self.device = device
        self.limits = limits
        shape = (limits.n_pages, t.n_kv_heads, t.head_dim)
        self.keys = [device.zeros(shape) for _ in range(t.n_layers)]
        self.values = [device.zeros(shape) for _ in range(t.n_layers)]
        self.table = device.mirror(np.zeros((limits.rows, limits.max_seq), np.int64))
        """The page of every position of every row."""
        self.pending = device.array(np.zeros((limits.rows, 3), np.int64))
        """What is fed next: an id, or the id `vocab` and a bin, or `vocab + 1` and two bins."""
        self._rules = RuleTable(device, limits, model.config.tokenizer)
        self._lora = LoraSlots(device)
        coords, sizes = region.bin_counts(model.weights.region)
        self._coords = device.array(coord_values(np.arange(coords), model.config.region.coord_steps)[:, None])
        self._sizes = device.array(size_values(np.arange(sizes), sizes)[:, None])

    # --------------------------------------------------------------------------------------------- tables

    @property
    def adapters_version(self) -> int:
        """Changes when arrays that passes with adapters read were replaced."""
        return self._lora.version

    def load_adapter(self, slot: int, adapter: Adapter) -> None:
        """Put an adapter into a slot."""
        self._lora.load(slot, adapter)

    def set_rule(self, index: int, rule: Rule) -> None:
        """Write a rule on the host."""
        self._rules.set(index, rule)

    def upload_rules(self) -> None:
        """Bring what was written since to the device."""
        self._rules.upload()

    def reads_numbers(self, rules: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a number."""
        return self._rules.read_numbers(rules)

    def reads_sizes(self, rules: NDArray[np.int64]) -> bool:
        """Whether any of these rules reads a size."""
        return self._rules.read_sizes(rules)

    def state(self) -> Sequence[Any]:
        """Everything that passes read and write, in dataclasses and sequences."""
        tables = self.table.array, self._rules.allowed.array, self._rules.readings.array
        kept = self.keys, self.values, self.pending, self._coords, self._sizes
        return self.model.parameters(), tables, kept, self._lora.arrays()

    # -------------------------------------------------------------------------------------------- prefill

    def prefill(self, prompts: Sequence[Prefill]) -> Features:
        """Read prompts into their pages.

        Raises `ValueError` if they use different adapters.
        """
        device = self.device
        if len({prompt.adapter for prompt in prompts}) > 1:
            raise ValueError("Prompts with different adapters do not share a forward.")
        x = device.concat([rows for prompt in prompts for rows in self._embedded(prompt)], 0)
        placed = list(self._placed(prompts))
        positions = np.concatenate([np.arange(one.first, one.length) for one in placed])
        tables = [device.array(one.pages) for one in placed]
        new = device.array(np.concatenate([one.pages[one.first :] for one in placed]))
        rotation, logs = self.model.places_at(device.array(positions))

        def attend(layer: int, qk: Array, v: Array) -> Array:
            q = self._store(layer, qk[0], v[0], rotation, new)
            each = [
                self._attend(layer, q[one.place], one, table)
                for one, table in zip(placed, tables, strict=True)
            ]
            return each[0] if len(each) == 1 else device.concat(each, 0)

        adapter = prompts[0].adapter
        adapt = self._lora.adapt(device.array(np.array([adapter]))) if adapter else None
        hidden = self.model.run_blocks(x[None], attend, logs, adapt)[0]
        last = np.array([one.place.stop - 1 for one in placed])
        return self._features(device.take(hidden, device.array(last), 0))

    def _attend(self, layer: int, q: Array, prompt: _Prompt, table: Array) -> Array:
        """The new queries `[T, H, E]` of a prompt."""
        device, kept = self.device, (self.keys[layer], self.values[layer])
        if prompt.mask is None:
            return device.prefix_attention(q, *kept, table, prompt.block)
        k, v = (device.permute(device.take(pages, table, 0), (1, 0, 2))[None] for pages in kept)
        mixed = device.attention(device.permute(q, (1, 0, 2))[None], k, v, prompt.mask)
        return device.permute(mixed[0], (1, 0, 2))

    def _embedded(self, prompt: Prefill) -> Iterator[Array]:
        """Rows of the elements that are to be read, in pieces."""
        images = iter(prompt.images)
        elements: Sequence[Any] = prompt.elements[prompt.skip :]
        for is_image, group in groupby(elements, lambda element: isinstance(element, ImageKey)):
            if is_image:
                yield from (self.model.encode_image(next(images)) for _ in group)
            else:
                yield self.model.embed(list(group))

    def _placed(self, prompts: Sequence[Prefill]) -> Iterator[_Prompt]:
        begin = 0
        for prompt in prompts:
            first = positions_of(prompt.elements[: prompt.skip])
            length = positions_of(prompt.elements)
            pages = self.table.host[prompt.row, :length].copy()
            images = list(_images(prompt.elements, prompt.skip, first, self.model.config.tokenizer.bos_id))
            block, mask = 0, None
            if len(images) == 1 and images[0].start <= first:
                block = images[0].stop
            elif images:
                mask = self.device.array(_mask(images, first, length))
            yield _Prompt(first, length, begin, pages, block, mask)
            begin += length - first

    # --------------------------------------------------------------------------------------------- decode

    def decode(self, feeds: Feeds) -> Features:
        """Feed every row its pending element, which takes its position."""
        device = self.device
        table = device.take(self.table.array, feeds.rows, 0)[:, : feeds.span]
        new = device.take_along(table, feeds.positions[:, None])[:, 0]
        lengths = feeds.positions + 1
        rotation, logs = self.model.places_at(feeds.positions)

        def attend(layer: int, qk: Array, v: Array) -> Array:
            q = self._store(layer, qk[:, 0], v[:, 0], rotation, new)
            return device.paged_attention(q, self.keys[layer], self.values[layer], table, lengths)

        x = self._pending_rows(feeds.rows)[:, None]
        adapt = None if feeds.adapters is None else self._lora.adapt(feeds.adapters)
        return self._features(self.model.run_blocks(x, attend, logs[:, None], adapt)[:, 0])

    def _pending_rows(self, rows: Array) -> Array:
        """Embeddings `[n, D]` of what the rows have pending, whatever it is."""
        device, weights, vocab = self.device, self.model.weights, self.limits.vocab
        pending = device.take(self.pending, rows, 0)
        ids, first, second = pending[:, 0], pending[:, 1], pending[:, 2]
        words = device.take(weights.text.wte, device.where(ids < vocab, ids, 0), 0)
        coord = region.coord_rows(device, weights.region, device.take(self._coords, first, 0))
        both = device.concat([device.take(self._sizes, bins, 0) for bins in (first, second)], 1)
        size = region.size_rows(device, weights.region, both)
        is_coord, is_size = (ids == vocab)[:, None], (ids == vocab + 1)[:, None]
        return device.where(is_coord, coord, device.where(is_size, size, words))

    # --------------------------------------------------------------------------------------------- choose

    def choose(
        self,
        rows: Array,
        features: Features,
        rules: Array,
        draw: Draw | None,
        numbers: bool,
        sizes: bool = True,
    ) -> Choice:
        """Decide for rows `[n]`, and leave it pending."""
        weights, config = self.model.weights.region, self.model.config.tokenizer
        settings = rules, draw, numbers, sizes
        choice, fed = choose(self.device, weights, config, self._rules, features, *settings)
        self.pending = self.device.store(self.pending, rows, fed)
        return choice

    def _store(self, layer: int, qk: Array, v: Array, rotation: Rotation, pages: Array) -> Array:
        """Keys `[n, Hkv, E]` behind the queries of `qk`, and values, to their pages; the rotated queries."""
        kept = self.keys[layer], self.values[layer]
        q, self.keys[layer], self.values[layer] = self.device.rotate_store(qk, v, rotation, pages, *kept)
        return q

    def _features(self, hidden: Array) -> Features:
        logits = text.logits(self.device, self.model.weights.text, hidden)
        return Features(hidden, self.device.widen(logits))


def _images(elements: Sequence[Element], skip: int, first: int, bos_id: int) -> Iterator[range]:
    """The positions of images after the first `skip` elements, which are `first` positions.

    An image directly after BOS takes BOS in.
    """
    place = first
    for index in range(skip, len(elements)):
        element = elements[index]
        if isinstance(element, ImageKey):
            begin = 0 if index == 1 and elements[0] == bos_id else place
            yield range(begin, place + element.positions)
        place += positions_of((element,))


def _mask(images: Sequence[range], first: int, length: int) -> NDArray[np.bool_]:
    """Who sees whom, `[length - first, length]`: predecessors, and within an image everybody."""
    mask = np.arange(length) <= np.arange(first, length)[:, None]
    for image in images:
        mask[max(0, image.start - first) : image.stop - first, image.start : image.stop] = True
    return mask
