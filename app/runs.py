"""A run: one request on its way to an image, and the page it grows into."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.app import words
from dreamscope.app.asks import Ask
from dreamscope.engine import wire
from dreamscope.visualizers.fragment import Fragment, Fragments

STATES = {wire.RequestDone: "done", wire.RequestCancelled: "stopped", wire.RequestFailed: "failed"}


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image that the engine has decoded: its id there, and its size in pixels after orientation."""

    image_id: str
    width: int
    height: int


class Run:
    """One request on its way: its events become fragments. `state` is what the page's Run/Stop shows."""

    def __init__(self, ask: Ask, image: ReadyImage) -> None:
        self.request_id = ask.create.request_id
        self.skill = ask.create.skill
        self.model = ask.create.model
        self.state = "queued"
        self._started_ms = 0.0
        self._page = Fragments(
            (image.width, image.height),
            self.skill,
            ask.prompt,
            0,
            ask.display_width,
            eye=ask.create.eye,
            face=ask.create.face,
            format=ask.format,
        )

    @property
    def over(self) -> bool:
        """Whether its terminal event has come, or never will."""
        return self.state not in ("queued", "running")

    def feed(self, event: wire.RequestEvent) -> list[Fragment]:
        """The page's changes by one event. Raises `WireError` if the engine breaks the protocol."""
        if isinstance(event, wire.RequestStarted):
            self.state = "running"
            self._started_ms = event.t
        self.state = STATES.get(type(event), self.state)
        fragments = self._page.feed(event)
        if isinstance(event, wire.ReasoningDone):
            seconds = (event.t - self._started_ms) / 1000
            fragments.append(Fragment("reasoning_time", "replace", f"{seconds:.1f} s"))
        return fragments

    def wait_for(self, detail: str) -> list[Fragment]:
        """What the request waits for before it can start, in words."""
        return self._page.note("queued", detail) if self.state == "queued" else []

    def lose(self, restarts: bool) -> list[Fragment]:
        """The engine went away in the middle: the page keeps what there is and says so.

        `restarts`: it is being started again; otherwise it is only tried again.
        """
        self.state = "lost"
        fragments = self._page.engine_gone()
        return fragments if restarts else [*fragments, *self._page.note("failed", words.ENGINE_SILENT)]

    def recover(self) -> list[Fragment]:
        """The engine is back after `lose`; what was written stays."""
        self.state = "stopped"
        return self._page.note("stopped", words.ENGINE_BACK)
