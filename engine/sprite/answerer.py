"""Asks the engine about generated scenes, greedily, one image at a time."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.sprite.scenes import Scene

_GREEDY = Sampling(temperature=0.0, max_tokens=160, max_objects=12)


class Answerer:
    """Asks a model about one image at a time; the image is encoded once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prefix: KVCache | None = None

    def look(self, scene: Scene) -> None:
        """Make `scene` the image of the questions that follow."""
        model = self._model
        self._prefix = model.new_cache(model.config.prefix_len)
        model.prefill_image(model.encode_image(model.crop(scene.pixels)), self._prefix)

    def ask(self, skill: str, **fields: object) -> wire.Result:
        """The greedy result of one request about the current image."""
        assert self._prefix is not None
        model = self._model
        request = SkillRequest(skill, _GREEDY, **fields)  # type: ignore[arg-type]
        machine = build_skill(request, model.config.tokenizer, model.tokenizer)
        cache = self._prefix.copy_of_prefix(self._prefix.length, model.config.text.max_context)
        for _ in generate(model, machine, cache, machine.opening(), Sampler(_GREEDY)):
            pass
        return machine.result()
