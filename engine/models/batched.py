"""A model over many sequences at once, whose keys and values lie in pages.

The blocks are those of the plain model; what differs is where attention finds its keys, and that the input
of a decode step is selected on the device by what each row has pending. Everything here is queued by one
thread and waits for nothing.

    prefill    prompts end to end in one pass, each attending to its own pages
    decode     the pending element of each row, `[n, 1, D]`
    read       the ids of one prompt in a pass whose sizes are arrays, as a trace needs it
    choose     ids and numbers of the rows of either, which become pending
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Rotation
from dreamscope.engine.devices.program import Choice, Draw, Features, Feeds
from dreamscope.engine.devices.runner import ImageKey, Limits, Prefill, Rule
from dreamscope.engine.models import region, text
from dreamscope.engine.models.choice import RuleTable, choose
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.lora_slots import LoraSlots
from dreamscope.engine.models.prompts import placed, portions
from dreamscope.engine.models.tokens import coord_values, size_values

if TYPE_CHECKING:
    from dreamscope.engine.models.base import Model


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
        self._all_positions = device.array(np.arange(limits.max_seq))
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
        kept = self._all_positions, self.keys, self.values, self.pending, self._coords, self._sizes
        return self.model.parameters(), tables, kept, self._lora.arrays()

    # -------------------------------------------------------------------------------------------- prefill

    def prefill(self, prompts: Sequence[Prefill]) -> Features:
        """Read prompts into their pages.

        Raises `ValueError` if they use different adapters.
        """
        device = self.device
        if len({prompt.adapter for prompt in prompts}) > 1:
            raise ValueError("Prompts with different adapters do not share a forward.")
        x = device.concat(list(self._embedded(prompts)), 0)
        read = list(placed(prompts, self.table.host, self.model.config.tokenizer.bos_id))
        positions = np.concatenate([np.arange(one.first, one.length) for one in read])
        new = device.array(np.concatenate([one.pages[one.first :] for one in read]))
        together = list(portions(device, read))
        rotation, logs = self.model.places_at(device.array(positions))

        def attend(layer: int, qk: Array, v: Array) -> Array:
            q = self._store(layer, qk[0], v[0], rotation, new)
            each = [portion.attend(q, self.keys[layer], self.values[layer]) for portion in together]
            return each[0] if len(each) == 1 else device.concat(each, 0)

        adapter = prompts[0].adapter
        adapt = self._lora.adapt(device.array(np.array([adapter]))) if adapter else None
        hidden = self.model.run_blocks(x[None], attend, logs, adapt)[0]
        last = np.array([one.end - 1 for one in read])
        return self._features(device.take(hidden, device.array(last), 0))

    def _embedded(self, prompts: Sequence[Prefill]) -> Iterator[Array]:
        """Rows of the elements that are to be read, in pieces."""
        images = iter([image for prompt in prompts for image in prompt.images])
        elements: list[Any] = [element for prompt in prompts for element in prompt.elements[prompt.skip :]]
        for is_image, group in groupby(elements, lambda element: isinstance(element, ImageKey)):
            if is_image:
                yield from (self.model.encode_image(next(images)) for _ in group)
            else:
                yield self.model.embed(list(group))

    def read(self, ids: Array, row: Array, positions: Array, span: Any) -> Features:
        """Read ids `[N]` at `positions` of a `row` `[1]`, behind all that it has: `span` with them."""
        device = self.device
        table = device.take(self.table.array, row, 0)[0, :span]
        new = device.take(table, positions, 0)
        rotation, logs = self.model.places_at(positions)
        seen = self._all_positions[:span] <= positions[:, None]

        def attend(layer: int, qk: Array, v: Array) -> Array:
            q = self._store(layer, qk[0], v[0], rotation, new)
            kept = (device.take(pages[layer], table, 0) for pages in (self.keys, self.values))
            q, k, v = (device.permute(each, (1, 0, 2))[None] for each in (q, *kept))
            return device.permute(device.attention(q, k, v, seen)[0], (1, 0, 2))

        x = device.take(self.model.weights.text.wte, ids, 0)
        return self._features(self.model.run_blocks(x[None], attend, logs)[0, -1:])

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
