"""Everything the device does for one request: image, prefix, decode. No threads, no queue."""

from __future__ import annotations

from collections.abc import Callable

from dreamscope.engine import wire
from dreamscope.engine.devices.base import ITEM_BYTES
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.image_cache import EncodedImage, ImageCache
from dreamscope.engine.runtime.job import Job
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import UNADDRESSED


class Runner:
    """Serves one job at a time, on the thread that owns the model."""

    def __init__(
        self, model: Moondream2, images: ImageCache, counters: Counters, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._images = images
        self._counters = counters
        self._clock = clock

    def run(self, job: Job, checkpoint: Callable[[], None]) -> None:
        """Prefill and decode until the skill is finished, delivering its events as they come.

        `checkpoint` is called between pieces of device work and ends the run by raising. Whatever the model
        or the skill raises passes through.
        """
        cache = self._prefix(job, checkpoint)
        sampler = Sampler(job.request.skill_request.sampling)
        for outcome in generate(self._model, job.skill, cache, job.prompt, sampler):
            now = self._clock()
            if job.times.first_token is None:
                job.times.first_token = now
            job.send(outcome.events, now)
            if job.skill.finish_reason is None:
                checkpoint()

    def _prefix(self, job: Job, checkpoint: Callable[[], None]) -> KVCache:
        """Announce the start, and return a cache for the whole request that holds its image, if any."""
        capacity = min(self._model.config.text.max_context, job.input_tokens + job.skill.max_feed)
        if job.request.image is None:
            self._announce(job, None)
            return self._model.new_cache(capacity)
        encoded = self._images.get(job.request.image.digest)
        if encoded is None:
            encoded = self._encode(job, job.request.image.digest, checkpoint)
        else:
            self._counters.image_hits += 1
            job.cached_tokens = encoded.cache.length
            self._announce(job, encoded.crops)
        checkpoint()
        return encoded.cache.copy_of_prefix(encoded.cache.length, capacity)

    def _encode(self, job: Job, digest: str, checkpoint: Callable[[], None]) -> EncodedImage:
        """Run vision and the prefix, and keep the result for the next request about this image."""
        assert job.crops is not None
        crops = job.crops.result()
        self._counters.image_misses += 1
        self._announce(job, len(crops.pixels))
        checkpoint()
        begun = self._clock()
        cache = self._model.new_cache(self._model.config.prefix_len)
        self._model.prefill_image(self._model.encode_image(crops), cache)
        self._model.device.synchronize()
        job.times.image_seconds = self._clock() - begun
        encoded = EncodedImage(cache, len(crops.pixels), cache.nbytes(ITEM_BYTES[self._model.device.dtype]))
        self._images.put(digest, encoded)
        return encoded

    def _announce(self, job: Job, crops: int | None) -> None:
        image = None
        if job.request.image is not None and crops is not None:
            height, width = job.request.image.rgb.shape[:2]
            image = wire.ImageInfo(width, height, crops)
        started = wire.RequestStarted(
            request_id=UNADDRESSED,
            input_tokens=job.input_tokens,
            cached_tokens=job.cached_tokens,
            image=image,
        )
        job.send([started], self._clock())
