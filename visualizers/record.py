"""A run as it is kept: what was asked, every event with its time, and what people added to it.

History, replay, comparison, audit, sharing and every export start from a `Record` and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dreamscope.engine import wire
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.palette import families_of
from dreamscope.visualizers.progress import fold
from dreamscope.visualizers.truth import Known

STATES = ("queued", "running", "done", "stopped", "failed", "interrupted")
"""Of a part. `interrupted`: page server or engine ended in the middle; what had arrived is kept."""
_WORST_FIRST = ("running", "queued", "interrupted", "failed", "stopped", "done")


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored image: SHA-256 of its bytes in hex, its size in pixels, its media type."""

    hash: str
    width: int
    height: int
    media_type: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a run and its events so far, in order; `create` carries no image."""

    create: wire.RequestCreate
    state: str = "queued"
    events: tuple[wire.RequestEvent, ...] = ()
    _folded: wire.Result | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What was asked for in words: the question or the object; empty for captions and gaze."""
        return self.create.question or self.create.object or ""

    def asked(self, part: int = 0, family: int = 0) -> Asked:
        """What marks and lists need to know of the request; `part` and `family` are its place in the run."""
        create = self.create
        kind = (create.response_format or {}).get("type", "text")
        return Asked(create.object or "", family, create.eye, create.face, kind, part)

    @property
    def result(self) -> wire.Result:
        """The result, or what had arrived of it. Raises `WireError` if an event does not fit the skill."""
        if self._folded is None:
            # Kept because many ask for it; frozen for everyone else, and a changed copy folds anew.
            object.__setattr__(self, "_folded", fold(self.create.skill, self.events))
        assert self._folded is not None
        return self._folded

    @property
    def metrics(self) -> wire.Metrics | None:
        """What the engine measured; `None` without a terminal event that says it."""
        last = self.events[-1] if self.events else None
        return last.metrics if isinstance(last, wire.RequestDone | wire.RequestCancelled) else None

    @property
    def error(self) -> wire.ErrorInfo | None:
        """Why the request failed, if it did."""
        last = self.events[-1] if self.events else None
        return last.error if isinstance(last, wire.RequestFailed) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run: one request, or one for each of several objects, on one image by one model.

    `created_at` is UTC in ISO 8601 with milliseconds; `model`, `revision` and `variant` (the adapter) are
    what answered, `answerer` what was known of it then; `rating` is -1, 0 or 1; `comparison` and `column` say
    where it stands in a comparison; `truth` is what people know to be in the image, if they have said so.
    """

    id: str
    created_at: str
    skill: str
    model: str
    revision: str = ""
    variant: str = ""
    picture: Picture | None = None
    parts: tuple[Part, ...] = ()
    title: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    rating: int = 0
    comparison: str | None = None
    column: int = 0
    truth: tuple[Known, ...] | None = None
    answerer: Answerer | None = None

    @property
    def prompt(self) -> str:
        """What was asked, in one line."""
        return ", ".join(part.name for part in self.parts if part.name)

    @property
    def asked(self) -> tuple[Asked, ...]:
        """For each part what its marks need to know, its colour among them."""
        families = families_of(part.create.object or "" for part in self.parts)
        pairs = zip(self.parts, families, strict=True)
        return tuple(part.asked(nth, family) for nth, (part, family) in enumerate(pairs))

    @property
    def state(self) -> str:
        """The state that most needs attention among the parts."""
        return overall(part.state for part in self.parts)

    def with_parts(self, parts: Iterable[Part]) -> Record:
        """The same run with other parts."""
        return replace(self, parts=tuple(parts))


def overall(states: Iterable[str]) -> str:
    """The one state of a run of several parts: `running` while any part is, `done` only if all are."""
    present = set(states) or {"queued"}
    return next(state for state in _WORST_FIRST if state in present)
