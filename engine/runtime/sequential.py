"""One request after the other: no batch, no pages, no pipeline. What the engine is compared with.

The greedy tokens of the two are the same. Its images are kept like those of the engine, so that a second
question costs neither of them the image again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from dreamscope.engine.devices.base import ITEM_BYTES, Array
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.models.tokens import Picture
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.image_cache import EncodedImage, ImageCache, prefix_key
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.runtime.pictures import prefill_pictures
from dreamscope.engine.runtime.prepare import images_of, prompt_of
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Outcome, Skill
from dreamscope.engine.skills.grammar import Grammars
from dreamscope.engine.skills.registry import build_skill

IMAGE_CACHE_BYTES = 1 << 30


class SequentialEngine:
    """Answers on the thread that asks."""

    def __init__(
        self,
        model: Model,
        *,
        image_cache_bytes: int = IMAGE_CACHE_BYTES,
        adapters: AdapterRegistry | None = None,
    ) -> None:
        self._model = model
        self._images = ImageCache(image_cache_bytes)
        self._adapters = AdapterRegistry() if adapters is None else adapters
        self._grammars = Grammars(model.tokenizer, model.config.tokenizer.eos_id)

    def ask(self, request: EngineRequest) -> Skill:
        """Run a request to its end; the skill has its result. Deadlines are not looked at."""
        skill = self._skill(request)
        with self._model.device.inference():
            for _ in self._outcomes(request, skill):
                pass
        return skill

    def stream(self, request: EngineRequest) -> Iterator[Outcome]:
        """The same, one outcome for each token."""
        with self._model.device.inference():
            yield from self._outcomes(request, self._skill(request))

    def _skill(self, request: EngineRequest) -> Skill:
        model = self._model
        return build_skill(
            request.skill_request, model.config.tokenizer, model.tokenizer, grammars=self._grammars
        )

    def _outcomes(self, request: EngineRequest, skill: Skill) -> Iterator[Outcome]:
        model, asked = self._model, request.skill_request
        adapter = None if request.adapter is None else self._adapters.get(request.adapter)
        prompt = prompt_of(request, skill, model.config.tokenizer.bos_id)
        images = images_of(request)
        cache, mirrored = model.new_cache(), None
        if prompt[1:2] == [Picture(0)]:
            cache, prompt = self._prefix(images[0], adapter), prompt[2:]
        if request.image is not None and asked.needs_mirror:
            mirrored = self._prefix(request.image.mirrored(), adapter)
        rest = prefill_pictures(model, prompt, partial(self._rows, images), cache, adapter)
        yield from generate(
            model,
            skill,
            cache,
            rest,
            Sampler(asked.sampling),
            adapter=adapter,
            mirrored=mirrored,
            uncertainty=asked.uncertainty,
        )

    def _prefix(self, image: RawImage, adapter: Adapter | None) -> KVCache:
        """BOS and the image, with room for everything that may follow."""
        model, key = self._model, prefix_key(image.digest, adapter)
        found = self._images.get(key)
        if found is None:
            cache = model.new_cache(model.config.prefix_len)
            model.prefill_image(model.encode_image(model.crop(image.rgb)), cache, adapter)
            found = EncodedImage(cache, cache.nbytes(ITEM_BYTES[model.device.dtype]))
            self._images.put(key, found)
        return found.cache.copy_of_prefix(found.cache.length, model.config.text.max_context)

    def _rows(self, images: tuple[RawImage, ...], index: int) -> Array:
        return self._model.encode_image(self._model.crop(images[index].rgb))
