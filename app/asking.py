"""The flags of `dreamscope ask` that say what is asked, and the request that they become.

They describe one request, so unlike the settings in `app/config.py` they have no environment variables.
"""

from __future__ import annotations

import argparse
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamscope.app.asks import Invalid, response_format
from dreamscope.app.config import FORMATS, OBJECT_SKILLS, REFERENCE_SKILLS, SETTINGS_OF_SKILL
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError, Values

IMAGE_ID = "image"
_TEXT_SKILLS = ("query", "chat")
_POINT, _BOX = "x,y", "x1,y1,x2,y2"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line said about the request, unread."""

    image: str
    prompt: str | None
    object: str | None
    references: tuple[tuple[str, str], ...]
    """`--point` and `--box` in the order they were given, as (flag, text)."""
    eye: str | None
    face: str | None
    force: bool
    schema: str | None
    messages: tuple[str, ...]

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Asked:
        """From what the flags of `add_request_flags` left in `options`."""
        return cls(
            image=options.image,
            prompt=options.prompt,
            object=options.object,
            references=tuple(options.references or ()),
            eye=options.eye,
            face=options.face,
            force=options.force,
            schema=options.schema,
            messages=tuple(options.message or ()),
        )


class _InOrder(argparse.Action):
    """Collects flags of several names in one list, in order."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        namespace.references = [*(namespace.references or ()), (option, values)]


def add_request_flags(parser: argparse.ArgumentParser) -> None:
    """The image, the question, and everything else that belongs to one request."""
    parser.add_argument("image", metavar="IMAGE", help="a JPEG, PNG, WebP or GIF file")
    parser.add_argument(
        "prompt",
        metavar="QUESTION",
        nargs="?",
        help="what to ask; for point, detect and segment the name of the thing, for caption and gaze nothing",
    )
    parser.add_argument("--object", metavar="NAME", help="the name of the thing, in place of QUESTION")
    for flag, metavar, what in (
        ("--point", _POINT, "a place that is meant"),
        ("--box", _BOX, "a box around what is meant"),
    ):
        parser.add_argument(
            flag,
            action=_InOrder,
            dest="references",
            metavar=metavar.upper(),
            help=f"{what}, in fractions of the image, for query, point and segment; may be repeated",
        )
    parser.add_argument("--eye", metavar=_POINT.upper(), help="gaze from this eye: fast")
    parser.add_argument("--face", metavar=_BOX.upper(), help="gaze from this face: slower, steadier")
    parser.add_argument(
        "--force", action="store_true", help="gaze names a place even if the model sees no target"
    )
    parser.add_argument(
        "--schema", metavar="FILE", help="answer in JSON that keeps this JSON schema, for certain"
    )
    parser.add_argument(
        "--message",
        action="append",
        metavar="TEXT",
        help="an earlier message of a chat, yours and the answers in turn; QUESTION is the next one",
    )


def build_request(asked: Asked, values: Values) -> wire.RequestCreate:
    """The request. Raises `SettingError` for what is missing, too much, or does not fit the skill."""
    skill = values["skill"]
    _check_belongs(asked, values, skill)
    text = _prompt(asked, values, skill)
    settings = {name: values[name] for name in SETTINGS_OF_SKILL[skill] if name in values.explicit}
    return wire.RequestCreate(
        request_id=uuid.uuid4().hex,
        skill=skill,
        model=values["model"] if values["engine"] and "model" in values.explicit else None,
        image_id=None if skill == "chat" else IMAGE_ID,
        question=text if skill == "query" else None,
        object=text if skill in OBJECT_SKILLS else None,
        length=values["length"] if skill == "caption" else None,
        reasoning=_reasoning(values, skill),
        spatial_refs=_references(asked) or None,
        eye=point("--eye", asked.eye) if asked.eye is not None else None,
        face=wire.Box(*box("--face", asked.face)) if asked.face is not None else None,
        force_detect=asked.force or None,
        variant=values["adapter"],
        messages=_conversation(asked.messages, text or "") if skill == "chat" else None,
        preset=values["preset"],
        response_format=_format(asked, values),
        uncertainty=values["uncertainty"] or None,
        settings=settings or None,
    )


def _check_belongs(asked: Asked, values: Values, skill: str) -> None:
    """Raises `SettingError` for a flag that the skill does not know."""
    formatted = "format" in values.explicit and values["format"] != "text"
    for flag, given, skills in (
        ("--object", asked.object is not None, OBJECT_SKILLS),
        ("--point and --box", bool(asked.references), REFERENCE_SKILLS),
        ("--eye and --face", asked.eye is not None or asked.face is not None, ("gaze",)),
        ("--force", asked.force, ("gaze",)),
        ("--message", bool(asked.messages), ("chat",)),
        ("--schema", asked.schema is not None, _TEXT_SKILLS),
        ("--format", formatted, _TEXT_SKILLS),
        ("--preset", values["preset"] is not None, ("query",)),
    ):
        if given and skill not in skills:
            verb = "are" if " and " in flag else "is"
            raise SettingError(f"{flag} {verb} for {' and '.join(skills)}, not for {skill}.")
    if skill == "gaze" and (asked.eye is None) == (asked.face is None):
        raise SettingError(f"gaze needs --eye {_POINT} or --face {_BOX}, one of them.")


def _prompt(asked: Asked, values: Values, skill: str) -> str | None:
    """The question or the name of the thing; `None` where there is none."""
    if asked.object is not None and asked.prompt is not None:
        raise SettingError("Give the name of the thing once, after the image or as --object.")
    text = (asked.prompt if asked.object is None else asked.object) or ""
    if skill in ("caption", "gaze"):
        if text:
            raise SettingError(f"{skill} takes no question.")
        return None
    if not text.strip():
        if skill == "query" and values["preset"] is not None:
            return None
        what = "the name of what to look for" if skill in OBJECT_SKILLS else "a question"
        raise SettingError(f"{skill} needs {what} after the image.")
    return text


def _reasoning(values: Values, skill: str) -> bool | None:
    """Whether to reason; a preset decides where the flag does not."""
    if skill not in _TEXT_SKILLS or (values["preset"] is not None and "reasoning" not in values.explicit):
        return None
    reasoning: bool = values["reasoning"]
    return reasoning


def _format(asked: Asked, values: Values) -> dict[str, Any] | None:
    """The `response_format`, from `--format` or `--schema`."""
    if asked.schema is None:
        return {"type": FORMATS[values["format"]]} if "format" in values.explicit else None
    if "format" in values.explicit and values["format"] != "json":
        raise SettingError(f"--schema asks for JSON, --format for {values['format']}.")
    try:
        return response_format("schema", Path(asked.schema).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"--schema {asked.schema}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingError(f"--schema {asked.schema}: not a text file in UTF-8.") from None
    except Invalid as error:
        raise SettingError(f"--schema {asked.schema}: {error.text}") from None


def _conversation(earlier: tuple[str, ...], question: str) -> tuple[wire.ChatTurn, ...]:
    """The messages in turn, the image with the first of the user."""
    if len(earlier) % 2:
        raise SettingError("--message must be given in pairs: what you said, then what was answered.")
    roles = ("user", "assistant")
    turns = [wire.ChatTurn(roles[index % 2], text) for index, text in enumerate((*earlier, question))]
    image = {"type": "image", "image_id": IMAGE_ID}
    first = wire.ChatTurn("user", [image, {"type": "text", "text": turns[0].content}])
    return (first, *turns[1:])


def _references(asked: Asked) -> tuple[tuple[float, ...], ...]:
    return tuple(
        point(flag, text) if flag == "--point" else box(flag, text) for flag, text in asked.references
    )


def point(flag: str, text: str) -> tuple[float, float]:
    """`x,y` in fractions of the image. Raises `SettingError` that names `flag`."""
    x, y = _numbers(flag, text, _POINT)
    return x, y


def box(flag: str, text: str) -> tuple[float, float, float, float]:
    """`x1,y1,x2,y2` in fractions of the image. Raises `SettingError` that names `flag`."""
    x1, y1, x2, y2 = _numbers(flag, text, _BOX)
    if x1 > x2 or y1 > y2:
        raise SettingError(f"{flag}: {text!r} is not {_BOX} with x1 up to x2 and y1 up to y2.")
    return x1, y1, x2, y2


def _numbers(flag: str, text: str, form: str) -> list[float]:
    """As many fractions as `form` names. Raises `SettingError`."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(form.split(",")) or not all(0 <= number <= 1 for number in numbers):
        raise SettingError(f"{flag}: {text!r} is not {form} with numbers from 0 to 1.")
    return numbers
