"""A request on its way through the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.models.crops import Crops
from dreamscope.engine.models.tokens import Picture, PromptItem
from dreamscope.engine.runtime.adapters import AdapterId
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.metrics import Timeline, milliseconds
from dreamscope.engine.skills.base import Skill, SkillRequest

logger = logging.getLogger(__name__)

Deliver = Callable[[list[wire.Message]], None]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the server asks of the engine. Moments are those of `time.monotonic`, in seconds.

    `accepted_at`: when the server itself has told `request.accepted`, which the engine then leaves out.
    """

    request_id: str
    skill_request: SkillRequest
    image: RawImage | None = None
    images: tuple[RawImage, ...] = ()
    """Those of a conversation, in order, in place of `image`."""
    deadline: float | None = None
    tag: Any = None
    model: str = ""
    adapter: AdapterId | None = None
    accepted_at: float | None = None


@dataclass(slots=True, eq=False)
class View:
    """An image that a request looks at, and its crops once somebody cuts them."""

    image: RawImage
    crops: Future[Crops] | None = None

    @property
    def settled(self) -> bool:
        """Whether its crops are there."""
        return self.crops is not None and self.crops.done()


@dataclass(slots=True, eq=False)
class Job:
    """One request inside the engine. After submission only the engine thread touches it."""

    request: EngineRequest
    skill: Skill
    prompt: list[PromptItem | Picture]
    """Everything after the image prefix; without an image to begin with, everything."""
    input_tokens: int
    deliver: Deliver
    times: Timeline
    views: list[View]
    """The images that a prefix is made of: the one that the prompt begins with, and the mirrored one for
    skills that want it.
    """
    images: list[View] = field(default_factory=list)
    """The images of a conversation by index; the first may be in `views` as well."""
    cached_tokens: int = 0
    cancel_reason: str | None = None
    _seq: int = field(init=False)

    def __post_init__(self) -> None:
        self._seq = 0 if self.request.accepted_at is None else 1

    @property
    def sees(self) -> list[View]:
        """Every image of the request, once."""
        return [*self.views, *(view for view in self.images if view not in self.views)]

    def expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self.request.deadline is not None and now >= self.request.deadline

    def send(self, events: Sequence[wire.RequestEvent], now: float) -> None:
        """Number, stamp and deliver events in one call.

        A `deliver` that raises is reported and dropped, and the request is cancelled: nobody hears it.
        """
        if not events:
            return
        t = milliseconds(now - self.times.submitted)
        batch: list[wire.Message] = []
        for event in events:
            batch.append(replace(event, request_id=self.request.request_id, seq=self._seq, t=t))
            self._seq += 1
        try:
            self.deliver(batch)
        except Exception:
            logger.exception("Delivering events of request %s failed", self.request.request_id)
            self.deliver = _nowhere
            self.cancel_reason = self.cancel_reason or "disconnect"

    def metrics(self, now: float) -> wire.Metrics:
        """What the request has cost so far."""
        return self.times.metrics(
            now,
            input_tokens=self.input_tokens,
            output_tokens=self.skill.output_tokens,
            reasoning_tokens=self.skill.reasoning_tokens,
            cached_tokens=self.cached_tokens,
        )


def _nowhere(batch: list[wire.Message]) -> None:
    """Delivers to nobody."""
