"""The sequential decode loop: one request, one token after the other. It knows no skill and no thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text, Token
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.runtime.spread import coord_spread, probability_of, size_spread
from dreamscope.engine.skills.base import Outcome, Skill, Step


def generate(
    model: Model,
    skill: Skill,
    cache: KVCache,
    prompt: Sequence[PromptItem],
    sampler: Sampler,
    *,
    adapter: Adapter | None = None,
    mirrored: KVCache | None = None,
    uncertainty: bool = False,
) -> Iterator[Outcome]:
    """Run `skill` to its end, one outcome per decided token.

    `cache` holds what comes before `prompt` (the image prefix, or nothing), with room for the prompt and
    `skill.max_feed` positions or for the whole context; `mirrored` is the same for the mirrored image, for
    skills that look at it. With `uncertainty` the skill is given probabilities and spreads. The first
    outcome comes after the prefill. When the context is full the skill is closed with "length". Abandoning
    the iterator is safe at any point.
    """
    context = model.config.text.max_context
    plain, prefix = cache, cache.length
    hidden = model.forward(model.embed(prompt), cache, adapter)
    while True:
        outcome = skill.consume(decide(model, hidden, skill.step(), sampler, uncertainty))
        if outcome.feed and cache.length + len(outcome.feed) >= context:
            outcome = Outcome(outcome.events + skill.close("length"))
        yield outcome
        if skill.finish_reason is not None:
            return
        if outcome.restart is not None:
            chosen = mirrored if outcome.restart.mirrored else plain
            if chosen is None:
                raise ValueError("The skill wants to see the mirrored image, and there is none.")
            cache = chosen
            cache.rewind(prefix)
            hidden = model.forward(model.embed(outcome.restart.prompt), cache, adapter)
        elif outcome.feed:
            hidden = model.forward(model.embed(outcome.feed), cache, adapter)


def decide(model: Model, hidden: Array, step: Step, sampler: Sampler, uncertainty: bool = False) -> Token:
    """The token of `step`, read from `hidden` `[D]`; with `uncertainty`, with its probability or spread."""
    if step.kind == "text":
        logits = model.logits(hidden)
        index = sampler.pick(logits, step)
        return Text(index, probability_of(logits, index) if uncertainty else None)
    drawn = model.config.tokenizer.rules.samples_numbers
    if step.kind == "coord":
        logits, steps = model.coord_logits(hidden), model.config.region.coord_steps
        index = _bin(logits, step, sampler, drawn)
        coord = Coord.from_bin(index, steps)
        return replace(coord, spread=coord_spread(logits, index, steps)) if uncertainty else coord
    sizes = model.size_logits(hidden)
    width, height = (_bin(axis, step, sampler, drawn) for axis in sizes)
    size = Size.from_bins(width, height, sizes.shape[1])
    if not uncertainty:
        return size
    return replace(size, spreads=(size_spread(sizes[0], width), size_spread(sizes[1], height)))


def _bin(logits: NDArray[np.float32], step: Step, sampler: Sampler, drawn: bool) -> int:
    """A bin of `logits` `[bins]`: drawn like a token, or the best one, the lowest of equals."""
    return sampler.pick(logits, step) if drawn else int(np.argmax(logits))
