"""From a request to what the scheduler serves: skill, prompt, images and sampling. Any thread, no device."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.devices.runner import Element, ImageKey, Limits, positions_of
from dreamscope.engine.models.base import ModelConfig
from dreamscope.engine.models.crops import tiling_of
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Picture, PromptItem
from dreamscope.engine.runtime.admission import check_length
from dreamscope.engine.runtime.cropping import CropTicket
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import Deliver, EngineRequest, Job
from dreamscope.engine.runtime.options import Place
from dreamscope.engine.runtime.sampling import GREEDY_BELOW
from dreamscope.engine.runtime.sequence import Sequence as Served
from dreamscope.engine.runtime.skill_driver import SkillDriver
from dreamscope.engine.skills.base import Restart, Skill, SkillRequest
from dreamscope.engine.skills.chat import ChatSkill
from dreamscope.engine.skills.grammar import Grammars
from dreamscope.engine.skills.registry import build_skill


class Subject(Protocol):
    """What the engine needs of a model beside a runner of it."""

    @property
    def config(self) -> ModelConfig:
        """Sizes, ids and templates."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""

    @property
    def device(self) -> Place:
        """Where it computes."""

    def crop(self, rgb: NDArray[np.uint8]) -> Any:
        """An image as a runner takes it. Any thread."""


class _Region(Protocol):
    coord_steps: int
    size_out_dim: int


def prompt_of(request: EngineRequest, skill: Skill, bos: int) -> list[PromptItem | Picture]:
    """Everything before the first decision, from BOS on."""
    if isinstance(skill, ChatSkill):
        return [bos, *skill.before, *skill.opening()]
    image = [] if request.image is None else [Picture(0)]
    return [bos, *image, *skill.opening()]


def images_of(request: EngineRequest) -> tuple[RawImage, ...]:
    """The images by the index of their `Picture`."""
    return request.images or (() if request.image is None else (request.image,))


class Preparer:
    """Makes jobs for one model within the limits of its runner."""

    def __init__(self, model: Subject, limits: Limits, ticket: Callable[[RawImage], CropTicket]) -> None:
        self._config = model.config
        self._tokenizer = model.tokenizer
        self._limits = limits
        self._ticket = ticket
        self._grammars = Grammars(model.tokenizer, model.config.tokenizer.eos_id)

    def job(self, request: EngineRequest, deliver: Deliver, submitted: float) -> Job:
        """Raises `ContextLengthExceeded`, and what a skill refuses."""
        asked, config = request.skill_request, self._config
        skill = build_skill(asked, config.tokenizer, self._tokenizer, grammars=self._grammars)
        images = images_of(request)
        prompt = self._elements(prompt_of(request, skill, config.tokenizer.bos_id), images)
        mirrored = [request.image.mirrored()] if request.image is not None and asked.needs_mirror else []
        length = positions_of(prompt)
        check_length(length, skill.max_feed + 1, self._limits, _longest(asked))
        views = {image.digest: self._ticket(image) for image in (*images, *mirrored)}
        region = cast(_Region, config.region)
        driver = SkillDriver(
            skill,
            config.tokenizer,
            prompt,
            partial(self._begin_again, (*images, *mirrored)),
            region.coord_steps,
            region.size_out_dim // 2,
            asked.uncertainty,
        )
        sequence = _sequence(request, prompt, driver, skill.max_feed + 1, views)
        shown = self._shown(images[0]) if len(images) == 1 else None
        return Job(request, skill, sequence, deliver, submitted, length, tuple(views.values()), shown)

    def _elements(
        self, prompt: Sequence[PromptItem | Picture], images: Sequence[RawImage]
    ) -> tuple[Element, ...]:
        rows = self._config.image_tokens
        return tuple(
            ImageKey(images[item.index].digest, rows) if isinstance(item, Picture) else item
            for item in prompt
        )

    def _begin_again(self, views: Sequence[RawImage], restart: Restart) -> tuple[Element, ...]:
        """The prompt after BOS and the image, or the mirrored one, which comes last."""
        view = views[-1:] if restart.mirrored else views[:1]
        picture = [Picture(0)] if view else []
        return self._elements([self._config.tokenizer.bos_id, *picture, *restart.prompt], view)

    def _shown(self, image: RawImage) -> wire.ImageInfo:
        height, width = image.rgb.shape[:2]
        rows, cols = tiling_of(height, width, self._config.vision)
        return wire.ImageInfo(width, height, 1 + rows * cols)


def _sequence(
    request: EngineRequest,
    prompt: tuple[Element, ...],
    driver: SkillDriver,
    max_new: int,
    views: Mapping[str, CropTicket],
) -> Served:
    sampling = request.skill_request.sampling
    return Served(
        request.request_id,
        prompt,
        driver,
        max_new,
        images=views,
        temperature=sampling.temperature if sampling.temperature >= GREEDY_BELOW else 0.0,
        top_p=sampling.top_p,
        seed=secrets.randbits(63) if sampling.seed is None else sampling.seed,
        detail=request.skill_request.uncertainty,
        deadline=request.deadline,
    )


def _longest(asked: SkillRequest) -> str:
    """The field to shorten."""
    return "object" if asked.object else "messages" if asked.messages else "question"
