"""What a line of `dreamscope chat` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.app.asking import Asked, box, build_request, point
from dreamscope.app.config import CAPTION_LENGTHS, OBJECT_SKILLS
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError, Values

COMMANDS = ("query", "caption", *OBJECT_SKILLS, "gaze", "model", "image", "new", "help")
_GAZE = "the place of an eye, x,y, or a face, x1,y1,x2,y2, in numbers from 0 to 1"
_NEEDS = {
    "query": "a question",
    **dict.fromkeys(OBJECT_SKILLS, "a noun"),
    "gaze": _GAZE,
    "image": "a file",
}
_UNSAID: dict[str, Any] = {"preset": None, "uncertainty": False, "length": "normal"}
"""What only flags of `dreamscope ask` can say."""


@dataclass(frozen=True, slots=True)
class Typed:
    """`command` is empty for an empty line, chat for one that is said in the conversation."""

    command: str
    text: str


def typed(line: str) -> Typed:
    """A line, checked. Raises `SettingError` that says what there is."""
    line = line.strip()
    if not line.startswith("/"):
        return Typed("chat" if line else "", line)
    command, _, text = line[1:].partition(" ")
    text = text.strip()
    if command not in COMMANDS:
        raise SettingError(
            f"There is no /{command[:20]}; there is {', '.join(f'/{name}' for name in COMMANDS)}."
        )
    if command in _NEEDS and not text:
        raise SettingError(f"/{command} needs {_NEEDS[command]}.")
    if command == "caption" and text and text not in CAPTION_LENGTHS:
        raise SettingError(f"/caption {text[:20]}: the length is one of {', '.join(CAPTION_LENGTHS)}.")
    if command == "gaze":
        _check_source(text)
    return Typed(command, text)


def request_of(line: Typed, said: Sequence[str], values: Values) -> wire.RequestCreate:
    """The request of a line; `said` are the turns before it. Raises `SettingError`."""
    unsaid = {**_UNSAID, **({"length": line.text} if line.command == "caption" and line.text else {})}
    gaze = line.command == "gaze"
    asked = Asked(
        image="",
        prompt=None if gaze or line.command == "caption" else line.text,
        object=None,
        references=(),
        eye=line.text if gaze and not _is_box(line.text) else None,
        face=line.text if gaze and _is_box(line.text) else None,
        force=False,
        schema=None,
        messages=tuple(said) if line.command == "chat" else (),
    )
    return build_request(asked, Values({**unsaid, **values.values, "skill": line.command}, values.explicit))


def _check_source(text: str) -> None:
    try:
        (box if _is_box(text) else point)("/gaze", text)
    except SettingError:
        raise SettingError(f"/gaze {text[:40]}: it needs {_GAZE}.") from None


def _is_box(text: str) -> bool:
    return text.count(",") > 1
