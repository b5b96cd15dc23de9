"""Prompts with images anywhere in them: everything but the last piece of text goes into the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import Picture, PromptItem


def prefill_pictures(
    model: Model,
    items: Sequence[PromptItem | Picture],
    rows: Callable[[int], Array],
    cache: KVCache,
    adapter: Adapter | None = None,
) -> list[PromptItem]:
    """Fill `cache` up to and with the last image; returns the text that is left to be fed.

    `rows(index)` gives the decoder rows `[P, D]` of an image and is called once for each, in order. An image
    sees itself both ways and all that is before it; one directly after BOS sees BOS both ways too. Raises
    `ValueError` if the cache has no room.
    """
    text: list[PromptItem] = []
    for is_picture, group in groupby(items, lambda item: isinstance(item, Picture)):
        if not is_picture:
            text = [item for item in group if not isinstance(item, Picture)]
            continue
        for picture in group:
            assert isinstance(picture, Picture)
            if cache.length == 0 and text == [model.config.tokenizer.bos_id]:
                model.prefill_image(rows(picture.index), cache, adapter)
            else:
                if text:
                    model.hidden_states(model.embed(text), cache, adapter=adapter)
                model.hidden_states(rows(picture.index), cache, causal=False, adapter=adapter)
            text = []
    return text
