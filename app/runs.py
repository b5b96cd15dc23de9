"""A run on its way: its requests, each with its part of the page, and what all of it is together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from dreamscope.app import words
from dreamscope.app.again import message_of
from dreamscope.app.asks import Ask
from dreamscope.app.config import COLUMNS, MAIN_COLUMN, OBJECT_SKILLS
from dreamscope.app.store.kinds import StoredImage, timestamp
from dreamscope.engine import wire
from dreamscope.visualizers.answerer import answerer_of
from dreamscope.visualizers.fragment import Fragment, Fragments
from dreamscope.visualizers.palette import colour, family_of
from dreamscope.visualizers.record import Part, Record, overall
from dreamscope.visualizers.words import CATCHING_UP

LIVE = ("queued", "running")
LOST = "lost"
"""A state of the page only: the connection ended, and whether the run goes on is not known yet."""
_ENDS = {wire.RequestDone: "done", wire.RequestCancelled: "stopped", wire.RequestFailed: "failed"}


class Request:
    """One request of a run: its events become fragments of its part of the page.

    `state` is what the record says of the part; `sent`: the engine has it; `lost`: the connection ended.
    """

    def __init__(self, create: wire.RequestCreate, part: int, page: Fragments) -> None:
        self.create = create
        self.part = part
        self.state = "queued"
        self.sent = False
        self.lost = False
        self.last_seq = -1
        self._started_ms = 0.0
        self._page = page

    @property
    def id(self) -> str:
        """Of the request, as the engine knows it."""
        return self.create.request_id

    @property
    def over(self) -> bool:
        """Whether its terminal event has come, or never will."""
        return self.state not in LIVE

    def feed(self, event: wire.RequestEvent) -> list[Fragment]:
        """The page's changes by one event. Raises `WireError` if the engine breaks the protocol."""
        fragments = self.find()
        self.last_seq = event.seq
        if isinstance(event, wire.RequestStarted):
            self.state = "running"
            self._started_ms = event.t
        self.state = _ENDS.get(type(event), self.state)
        fragments += self._page.feed(event)
        if isinstance(event, wire.ReasoningDone):
            seconds = (event.t - self._started_ms) / 1000
            fragments.append(Fragment("reasoning_time", "replace", f"{seconds:.1f} s"))
        return fragments

    def wait_for(self, detail: str) -> list[Fragment]:
        """What the request waits for before it can start, in words."""
        return self._page.note("queued", detail) if self.state == "queued" else []

    def lose(self, detail: str) -> list[Fragment]:
        """The connection ended in the middle; `detail` says so on the page."""
        self.lost = True
        return self._page.note("failed", detail)

    def find(self) -> list[Fragment]:
        """Another connection leads to it, if it was lost."""
        was_lost, self.lost = self.lost, False
        return self._page.note(self.state, CATCHING_UP) if was_lost else []

    def end(self, state: str, shown: str, detail: str) -> list[Fragment]:
        """It ends in `state` without a terminal event; the page shows `detail` in the manner of `shown`."""
        self.state, self.lost = state, False
        settled = self._page.engine_gone() if self.last_seq >= 0 else []
        return [*settled, *self._page.note(shown, detail)]


class Run:
    """The requests of one ask on one image, or on none, in one column; `comparison` is the id of what it
    belongs to.

    `told` is the state that the page was told last.
    """

    def __init__(self, ask: Ask, image: StoredImage | None, comparison: str | None = None) -> None:
        self.ask = ask
        self.id = ask.id
        self.column = ask.column
        self.image = None if ask.imageless else image
        self.comparison = comparison
        self.told = "queued"
        self.families = tuple(_families(ask.creates))
        self.requests = tuple(
            Request(create, part, self._page(create, part)) for part, create in enumerate(ask.creates)
        )

    @property
    def state(self) -> str:
        """What the page's Run/Stop shows."""
        if any(request.lost for request in self.requests):
            return LOST
        return overall(request.state for request in self.requests)

    @property
    def busy(self) -> bool:
        """Whether the column can take no other run; one whose connection is lost may be given up."""
        return self.state in LIVE

    def on_image(self, request: Request) -> wire.RequestCreate:
        """One of its requests, complete; images go to the engine under their hash."""
        return replace(request.create, image_id=self.image.hash) if self.image else request.create

    def record(self, model: wire.ModelInfo | None) -> Record:
        """The run as it begins; `model` is what will answer, if that is known."""
        create = self.ask.create
        return Record(
            id=self.id,
            created_at=timestamp(),
            skill=create.skill,
            model=model.id if model else create.model or "",
            revision=model.revision if model else "",
            answerer=answerer_of(model) if model else None,
            variant=create.variant or "",
            picture=self.image.picture if self.image else None,
            parts=tuple(Part(each) for each in self.ask.creates),
            comparison=self.comparison,
            column=0 if self.column == MAIN_COLUMN else COLUMNS.index(self.column) - 1,
        )

    def begin_message(self, model: wire.ModelInfo | None) -> dict[str, Any]:
        """What the page is told of it first."""
        create = self.ask.create
        several = len(self.requests) > 1
        return {
            "title": words.TITLES[create.skill],
            "reasoning": create.reasoning is True,
            "id": self.id,
            "comparison": self.comparison,
            **({"parts": self._parts()} if several else {}),
            "model": model.id if model else create.model or "",
            "ask": message_of(self.ask.creates, with_image=self.image is not None),
        }

    def _parts(self) -> list[dict[str, str]]:
        shades = [colour(family) for family in self.families]
        return [
            {"name": request.create.object or "", "colour": shade.fill, "halo": shade.halo}
            for request, shade in zip(self.requests, shades, strict=True)
        ]

    def _page(self, create: wire.RequestCreate, part: int) -> Fragments:
        return Fragments(
            (self.image.width, self.image.height) if self.image else None,
            create.skill,
            create.question or create.object or "",
            self.families[part],
            self.ask.display_width,
            eye=create.eye,
            face=create.face,
            format=self.ask.format,
            part=part,
        )


def _families(creates: Sequence[wire.RequestCreate]) -> Iterator[int]:
    """The colour family of each request: named things have their own, all else the first."""
    taken: list[int] = []
    for create in creates:
        family = family_of(create.object or "", taken) if create.skill in OBJECT_SKILLS else 0
        taken.append(family)
        yield family
