"""The sequential decode loop: one request, one token after the other. It knows no skill and no thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dreamscope.engine.devices.base import Array
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Text, Token
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Outcome, Skill, Step


def generate(
    model: Moondream2, skill: Skill, cache: KVCache, prompt: Sequence[PromptItem], sampler: Sampler
) -> Iterator[Outcome]:
    """Run `skill` to its end, one outcome per decided token.

    `cache` holds what comes before `prompt` (the image prefix, or nothing), with room for the prompt and
    `skill.max_feed` positions or for the whole context. The first outcome comes after the prefill. When
    the context is full the skill is closed with "length". Abandoning the iterator is safe at any point.
    """
    context = model.config.text.max_context
    hidden = model.forward(model.embed(prompt), cache)
    while True:
        outcome = skill.consume(decide(model, hidden, skill.step(), sampler))
        if outcome.feed and cache.length + len(outcome.feed) >= context:
            outcome = Outcome(outcome.events + skill.close("length"))
        yield outcome
        if skill.finish_reason is not None:
            return
        if outcome.feed:
            hidden = model.forward(model.embed(outcome.feed), cache)


def decide(model: Moondream2, hidden: Array, step: Step, sampler: Sampler) -> Token:
    """The token of `step`, read from `hidden` `[D]`. Numbers are the best bin, the lowest of equals."""
    if step.kind == "text":
        return Text(sampler.pick(model.logits(hidden), step))
    if step.kind == "coord":
        bins = model.coord_logits(hidden)
        return Coord.from_bin(int(np.argmax(bins)), len(bins))
    sizes = model.size_logits(hidden)
    width, height = (int(axis) for axis in np.argmax(sizes, axis=1))
    return Size.from_bins(width, height, sizes.shape[1])
