"""A run: what the browser asked for, checked; the request it becomes; the page it grows into."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.app import words
from dreamscope.app.config import CAPTION_LENGTHS, SETTINGS_OF_SKILL, SKILLS, sampling_row
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError
from dreamscope.visualizers.fragment import DISPLAY_WIDTH, Fragment, Fragments

STATES = {wire.RequestDone: "done", wire.RequestCancelled: "stopped", wire.RequestFailed: "failed"}
_PROMPT_FIELDS = {"query": "question", "point": "object", "detect": "object"}


class Invalid(ValueError):
    """The browser asked for something that cannot be run; `field` is the one to put the sentence beside."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image that the engine has decoded: its id there, and its size in pixels after orientation."""

    image_id: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked run message. `create` lacks only the image."""

    create: wire.RequestCreate
    prompt: str
    display_width: float

    def on_image(self, image_id: str) -> wire.RequestCreate:
        """The request, complete."""
        return replace(self.create, image_id=image_id)


def parse_ask(message: Any) -> Ask:
    """Check the browser's `run` message. Raises `Invalid`."""
    if not isinstance(message, dict) or message.get("skill") not in SKILLS:
        raise Invalid("prompt", f"The skill must be one of {', '.join(SKILLS)}.")
    skill = message["skill"]
    field = _PROMPT_FIELDS.get(skill)
    prompt = _text(message, field).strip() if field else ""
    if field and not prompt:
        raise Invalid("prompt", words.PROMPT_MISSING[skill])
    length = _text(message, "length") if skill == "caption" else None
    if length is not None and length not in CAPTION_LENGTHS:
        raise Invalid("prompt", f"The length must be one of {', '.join(CAPTION_LENGTHS)}.")
    create = wire.RequestCreate(
        request_id=uuid.uuid4().hex,
        skill=skill,
        model=_text(message, "model") or None,
        question=prompt if field == "question" else None,
        object=prompt if field == "object" else None,
        length=length,
        reasoning=message.get("reasoning") is True if skill == "query" else None,
        settings=_settings(message.get("settings"), skill),
    )
    return Ask(create, prompt, _width(message.get("width")))


def field_of(error: wire.ErrorInfo) -> str | None:
    """The form field an engine's error belongs beside; `None` when it is no field of the form."""
    param = (error.param or "").removeprefix("settings.")
    if param in words.LABELS:
        return param
    if param in ("image_id", "image_url", "image") or error.code.startswith(("image_", "invalid_image")):
        return "image"
    if param in ("question", "object") or error.code == "context_length_exceeded":
        return "prompt"
    return None


def _width(given: Any) -> float:
    """How wide the page shows the image, CSS pixels; anything strange counts as unknown."""
    if isinstance(given, (int, float)) and 1 <= given <= 20_000:
        return float(given)
    return DISPLAY_WIDTH


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name, "")
    return value if isinstance(value, str) else ""


def _settings(given: Any, skill: str) -> dict[str, Any] | None:
    """The settings the person changed, as text from the form's fields, checked by their table's rows."""
    if not isinstance(given, dict):
        return None
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in SETTINGS_OF_SKILL[skill]:
            raise Invalid("prompt", f"{skill} has no setting {name!r:.40}.")
        row = sampling_row(name)
        try:
            checked[name] = row.parse(str(value), words.LABELS[name])
        except SettingError:
            raise Invalid(name, words.setting_range(words.LABELS[name], row.allowed())) from None
    return checked or None


class Run:
    """One request on its way: its events become fragments. `state` is what the page's Run/Stop shows."""

    def __init__(self, ask: Ask, image: ReadyImage) -> None:
        self.request_id = ask.create.request_id
        self.skill = ask.create.skill
        self.state = "queued"
        self._started_ms = 0.0
        self._page = Fragments((image.width, image.height), self.skill, ask.prompt, 0, ask.display_width)

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
