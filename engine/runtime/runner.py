"""Everything the device does for one request: image, prefix, decode. No threads, no queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dreamscope.engine import wire
from dreamscope.engine.devices.base import ITEM_BYTES, Array
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.crops import Crops
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.image_cache import EncodedImage, ImageCache, prefix_key
from dreamscope.engine.runtime.job import Job, View
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.pictures import prefill_pictures
from dreamscope.engine.runtime.refiner import Refiner, refine_result
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import UNADDRESSED
from dreamscope.engine.skills.segment import SegmentSkill


class Runner:
    """Serves one job at a time, on the thread that owns the model."""

    def __init__(
        self,
        model: Model,
        images: ImageCache,
        adapters: AdapterRegistry,
        counters: Counters,
        clock: Callable[[], float],
        refiner: Refiner | None = None,
    ) -> None:
        self._model = model
        self._images = images
        self._adapters = adapters
        self._counters = counters
        self._clock = clock
        self._refiner = refiner

    def run(self, job: Job, checkpoint: Callable[[], None]) -> None:
        """Prefill and decode until the skill is finished, delivering its events as they come.

        `checkpoint` is called between pieces of device work and ends the run by raising. Whatever the model,
        the skill or the loading of the adapter raises passes through.
        """
        wanted = job.request.adapter
        adapter = None if wanted is None else self._adapters.get(wanted)
        cache, *others = self._prefixes(job, adapter, checkpoint)
        mirrored = others[0] if others else None
        prompt = prefill_pictures(
            self._model, job.prompt, partial(self._rows, job, checkpoint), cache, adapter
        )
        asked = job.request.skill_request
        for outcome in generate(
            self._model,
            job.skill,
            cache,
            prompt,
            Sampler(asked.sampling),
            adapter=adapter,
            mirrored=mirrored,
            uncertainty=asked.uncertainty,
        ):
            now = self._clock()
            if job.times.first_token is None:
                job.times.first_token = now
            if job.skill.finish_reason is None:
                job.send(outcome.events, now)
                checkpoint()
            else:
                self._finish(job, outcome.events)

    def _finish(self, job: Job, events: tuple[wire.RequestEvent, ...]) -> None:
        """Deliver the last events of the skill; an outline waits for the refiner, where there is one."""
        if self._refiner is None or not isinstance(job.skill, SegmentSkill):
            job.send(events, self._clock())
            return
        *before, coarse = events
        job.send(before, self._clock())
        refined = refine_result(self._refiner, job.skill, job.views[0].image.rgb) if job.views else None
        job.send([refined or coarse], self._clock())

    def _prefixes(self, job: Job, adapter: Adapter | None, checkpoint: Callable[[], None]) -> list[KVCache]:
        """Announce the start, and return a cache with room for the whole request for each of its views.

        Without an image that is one empty cache.
        """
        capacity = min(self._model.config.text.max_context, job.input_tokens + job.skill.max_feed)
        if not job.views:
            self._announce(job, None)
            return [self._model.new_cache(capacity)]
        # All are taken before any is encoded: what is held here cannot be lost to the bound of the cache.
        held = [self._images.get(prefix_key(view.image.digest, adapter)) for view in job.views]
        if held[0] is not None:
            job.cached_tokens = held[0].cache.length
        self._announce(job, held[0])
        caches = []
        for view, found in zip(job.views, held, strict=True):
            encoded = self._encode(job, view, adapter, checkpoint) if found is None else found
            self._counters.image_hits += found is not None
            checkpoint()
            caches.append(encoded.cache.copy_of_prefix(encoded.cache.length, capacity))
        return caches

    def _encode(
        self, job: Job, view: View, adapter: Adapter | None, checkpoint: Callable[[], None]
    ) -> EncodedImage:
        """Run vision and the prefix, and keep the result for the next request about this image."""
        crops = self._cut(view)
        self._counters.image_misses += 1
        checkpoint()
        begun = self._clock()
        cache = self._model.new_cache(self._model.config.prefix_len)
        hidden = self._model.prefill_image(self._model.encode_image(crops), cache, adapter)
        self._model.device.synchronize(hidden)
        job.times.image_seconds = (job.times.image_seconds or 0.0) + self._clock() - begun
        encoded = EncodedImage(cache, len(crops.pixels), cache.nbytes(ITEM_BYTES[self._model.device.dtype]))
        self._images.put(prefix_key(view.image.digest, adapter), encoded)
        return encoded

    def _rows(self, job: Job, checkpoint: Callable[[], None], index: int) -> Array:
        """Run vision on an image within a conversation; nothing of it is kept."""
        checkpoint()
        begun = self._clock()
        rows = self._model.encode_image(self._cut(job.images[index]))
        self._model.device.synchronize(rows)
        job.times.image_seconds = (job.times.image_seconds or 0.0) + self._clock() - begun
        return rows

    def _cut(self, view: View) -> Crops:
        """The crops, which somebody has cut unless the prefix was expected to be there and is not."""
        return self._model.crop(view.image.rgb) if view.crops is None else view.crops.result()

    def _announce(self, job: Job, held: EncodedImage | None) -> None:
        """Tell the start, and about the image if there is one; several have no place in the event."""
        image, shown = None, job.images or job.views[:1]
        if len(shown) == 1:
            height, width = shown[0].image.rgb.shape[:2]
            crops = len(self._cut(shown[0]).pixels) if held is None else held.crops
            image = wire.ImageInfo(width, height, crops)
        started = wire.RequestStarted(
            request_id=UNADDRESSED,
            input_tokens=job.input_tokens,
            cached_tokens=job.cached_tokens,
            image=image,
        )
        job.send([started], self._clock())
