"""A request on its way through the engine: what was asked, and who hears about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.runtime.adapters import AdapterId
from dreamscope.engine.runtime.cropping import CropTicket
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.sequence import Sequence
from dreamscope.engine.skills.base import Skill, SkillRequest

Batches = list[tuple[str, list[wire.Message]]]
"""The events of a tick, by request; those of one request in order."""
Deliver = Callable[[Batches], None]
"""A consumer. It is called once for every tick that has something for any request submitted with it."""


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
class Job:
    """One request inside the engine. After submission only the engine thread touches it."""

    request: EngineRequest
    skill: Skill
    sequence: Sequence
    deliver: Deliver
    submitted: float
    input_tokens: int
    tickets: tuple[CropTicket, ...]
    """Every image of the request, once."""
    shown: wire.ImageInfo | None
    """Its image if it has exactly one."""
    started: bool = False
    next_seq: int = field(init=False)
    deaf: bool = False
    """Whether its consumer has failed."""
    image_ms: float | None = None
    """Prefill steps that read an image of it, until its first token."""
    coarse: wire.MaskDone | None = None
    """An outline that waits for the refiner."""
    looked_at: set[str] = field(default_factory=set)
    """Digests of the images that it has begun to read."""

    def __post_init__(self) -> None:
        self.next_seq = 0 if self.request.accepted_at is None else 1

    @property
    def preprocess_ms(self) -> float | None:
        """How long its images took to be cut; `None` if that was not needed."""
        spans = [ticket.milliseconds for ticket in self.tickets if ticket.milliseconds is not None]
        return round(sum(spans), 3) if spans else None

    def drop_crops(self) -> None:
        """What is not on the device by now is cut again if it is needed."""
        for ticket in self.tickets:
            ticket.drop()
