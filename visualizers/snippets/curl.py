"""The run with curl, for any POSIX shell: one command for each part.

The body is given in quoted pieces around the image, which base64 writes into it; all of it is ASCII.
"""

from __future__ import annotations

import json
import shlex

from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets.literal import comment
from dreamscope.visualizers.snippets.request import (
    HTTP_SKILLS,
    Target,
    file_of,
    heading,
    http_bodies,
    media_type,
)


def curl(record: Record, target: Target) -> str:
    """The commands, which print the answers as JSON."""
    if record.skill not in HTTP_SKILLS:
        return comment(f"{record.skill} is not part of the HTTP API; use the websocket.") + "\n"
    address = shlex.quote(f"{target.api}/{record.skill}")
    send = f"curl -sS {address} -H 'Content-Type: application/json' --data-binary @-"
    commands = [f"{_body(record, json.dumps(body))} |\n  {send}" for body in http_bodies(record)]
    return "\n\n".join(["\n".join(heading(record, target)), *commands]) + "\n"


def _body(record: Record, body: str) -> str:
    """A command that writes the body."""
    if record.picture is None:
        return f"printf '%s' {shlex.quote(body)}"
    before = shlex.quote(f'{{"image_url": "data:{media_type(record)};base64,')
    after = shlex.quote(f'", {body[1:]}')
    image = f"base64 < {shlex.quote(file_of(record))} | tr -d '\\n'"
    return f"{{\n  printf '%s' {before}\n  {image}\n  printf '%s' {after}\n}}"
