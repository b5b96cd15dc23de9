"""The run over the engine's websocket, with everything that was asked, in Python."""

from __future__ import annotations

from dreamscope.engine.wire import SUBPROTOCOL
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets.literal import literal
from dreamscope.visualizers.snippets.request import (
    IMAGE_ID,
    Target,
    file_of,
    heading,
    media_type,
    socket_requests,
)

_UPLOAD = """        image = base64.b64encode(Path({file}).read_bytes()).decode()
        put = {{"type": "image.put", "image_id": {id}, "image_url": {prefix} + image}}
        await socket.send(json.dumps(put))
"""
_SCRIPT = """# pip install websockets
{heading}
import asyncio
import base64
import json
import uuid
from pathlib import Path

from websockets.asyncio.client import connect

REQUESTS = {requests}
ENDS = ("request.done", "request.failed", "request.cancelled", "error")


async def main():
    async with connect({address}, subprotocols=[{subprotocol}], max_size=2**24) as socket:
        await socket.send(json.dumps({{"type": "hello", "protocol": 1}}))
{upload}        waiting = 0
        for request in REQUESTS:
            create = {{"type": "request.create", "request_id": uuid.uuid4().hex, **request}}
            await socket.send(json.dumps(create))
            waiting += 1
        async for frame in socket:
            event = json.loads(frame)
            print(json.dumps(event))
            if event["type"] in ENDS:
                waiting -= 1
            if not waiting:
                return


asyncio.run(main())
"""


def websocket(record: Record, target: Target) -> str:
    """A script that prints every event as one line of JSON, the results in `request.done`."""
    upload = ""
    if record.picture is not None:
        prefix = literal(f"data:{media_type(record)};base64,")
        upload = _UPLOAD.format(file=literal(file_of(record)), id=literal(IMAGE_ID), prefix=prefix)
    return _SCRIPT.format(
        heading="\n".join(heading(record, target)),
        requests=literal(socket_requests(record)),
        address=literal(target.socket),
        subprotocol=literal(SUBPROTOCOL),
        upload=upload,
    )
