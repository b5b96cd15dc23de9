"""The run in Python, with the client of Moondream and with that of OpenAI.

Every value of a user or a model goes through `literal` or `comment`.
"""

from __future__ import annotations

from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets.literal import call, comment, literal
from dreamscope.visualizers.snippets.request import (
    HTTP_SKILLS,
    Target,
    file_of,
    heading,
    media_type,
    model_of,
    openai_fields,
)

_ARGUMENTS = {
    "caption": ("length",),
    "query": ("question", "reasoning", "spatial_refs"),
    "detect": ("object",),
    "point": ("object", "spatial_refs"),
    "segment": ("object", "spatial_refs"),
}
_BEYOND = ("preset", "uncertainty")
"""Fields of the engine that neither client has a word for."""


def moondream(record: Record, target: Target) -> str:
    """With the package `moondream`. What its methods do not take is named in a comment."""
    if record.skill not in HTTP_SKILLS:
        return comment(f"{record.skill} is not part of the HTTP API; use the websocket.") + "\n"
    client = [("endpoint", literal(target.api)), ("model", literal(model_of(record)))]
    lines = [
        "# pip install moondream pillow",
        *heading(record, target),
        *_left_out(record, ("response_format",)),
    ]
    lines += ["import moondream as md", *(["from PIL import Image"] if record.picture else []), ""]
    lines.append(f"model = {call('md.vl', client)}")
    if record.picture:
        lines.append("# The client sends it as a JPEG of quality 95, which may change a result a little.")
        lines.append(f"image = Image.open({literal(file_of(record))})")
    for part in record.parts:
        lines.append(f"print({_method(part.create, record.picture is not None)})")
    return "\n".join(lines) + "\n"


def openai(record: Record, target: Target) -> str:
    """With the package `openai`, which can ask questions and nothing else."""
    if record.skill != "query":
        return (
            comment(f"OpenAI's client asks questions; for {record.skill} use curl or the websocket.") + "\n"
        )
    create = record.parts[0].create
    content: list[str] = []
    lines = ["# pip install openai", *heading(record, target), *_left_out(record, ("spatial_refs",))]
    lines += ["import base64", "from pathlib import Path", "", "from openai import OpenAI", ""]
    if record.picture:
        lines.append(f"image = base64.b64encode(Path({literal(file_of(record))}).read_bytes()).decode()")
        lines.append(f"image_url = {literal(f'data:{media_type(record)};base64,')} + image")
        content.append('{"type": "image_url", "image_url": {"url": image_url}}')
    content.append(f'{{"type": "text", "text": {literal(create.question or "")}}}')
    lines.append(f"content = [\n{''.join(f'    {piece},{chr(10)}' for piece in content)}]")
    arguments = [(name, literal(value)) for name, value in openai_fields(record, create).items()]
    arguments.append(("messages", '[{"role": "user", "content": content}]'))
    if create.reasoning is not None:
        arguments.append(("extra_body", literal({"reasoning": create.reasoning})))
    client = [("base_url", literal(target.api)), ("api_key", literal("none"))]
    lines.append(f"client = {call('OpenAI', client)}")
    lines.append(f"completion = {call('client.chat.completions.create', arguments)}")
    lines.append("print(completion.choices[0].message)")
    return "\n".join(lines) + "\n"


def _method(create: wire.RequestCreate, with_image: bool) -> str:
    """The call of one part."""
    arguments: list[tuple[str, str]] = [("", "image")] if with_image else []
    for name in (*_ARGUMENTS[create.skill], "settings"):
        value = getattr(create, name)
        if value is not None:
            arguments.append((name, literal(wire.to_json(value), 4)))
    return call(f"model.{create.skill}", arguments)


def _left_out(record: Record, more: tuple[str, ...]) -> list[str]:
    """A comment on the fields that the client cannot send, if the run has any."""
    creates: list[Any] = [part.create for part in record.parts]
    names = [
        name for name in (*more, *_BEYOND) if any(getattr(create, name) is not None for create in creates)
    ]
    if not names:
        return []
    return [comment(f"Not sent, because this client has no word for it: {', '.join(names)}.")]
