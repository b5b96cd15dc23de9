"""The images of one connection, by the name the client gave them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dreamscope.engine import errors
from dreamscope.engine.runtime.images import RawImage, decode_image
from dreamscope.engine.server.image_url import image_bytes

MAX_IMAGES = 64
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Upload:
    """A decoded image; `received` counts the bytes of the file that arrived, `sha256` is that of the file."""

    image: RawImage
    received: int
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, oriented."""
        height, width = self.image.rgb.shape[:2]
        return width, height

    @property
    def nbytes(self) -> int:
        """Memory of the pixels."""
        return self.image.rgb.nbytes


def decode_upload(image_url: str) -> Upload:
    """Decode on the calling thread. Raises `InvalidImageUrl`, `ImageDecodeFailed`, `ImageTooLarge`."""
    data = image_bytes(image_url)
    return Upload(decode_image(data), len(data), hashlib.sha256(data).hexdigest())


class UploadStore:
    """Uploads that are decoded or being decoded. Bounded in number and in pixel memory: the images used
    longest ago go first, the newest always stays. A request that has asked for an image gets it even when
    the name is dropped meanwhile.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._tasks: OrderedDict[str, asyncio.Task[Upload]] = OrderedDict()

    def put(self, image_id: str, decoding: Coroutine[Any, Any, Upload]) -> asyncio.Task[Upload]:
        """Start decoding under this name; an image of the same name is replaced."""
        self.drop(image_id)
        task = asyncio.create_task(decoding)
        self._tasks[image_id] = task
        task.add_done_callback(self._settle)
        return task

    def get(self, image_id: str) -> Callable[[], Awaitable[Upload]]:
        """The image that has this name now, to be waited for later. The waiting raises `ImageUnknown` when
        there is none, or why decoding failed.
        """
        task = self._tasks.get(image_id)
        if task is not None:
            self._tasks.move_to_end(image_id)

        async def wait() -> Upload:
            if task is None:
                raise errors.ImageUnknown(
                    f"No image {image_id!r} on this connection: upload it with image.put. "
                    "An image goes when its connection closes, or when newer ones need its room.",
                    "image_id",
                )
            await asyncio.wait({task})
            if task.cancelled():
                raise errors.ShuttingDown("The server is stopping.")
            return task.result()

        return wait

    def drop(self, image_id: str) -> None:
        """Forget an image; harmless when there is none."""
        self._tasks.pop(image_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._tasks.clear()

    def _settle(self, task: asyncio.Task[Upload]) -> None:
        if not task.cancelled():
            task.exception()  # a failed upload was reported; this marks it as seen
        held = {name: _memory(item) for name, item in self._tasks.items()}
        for name in list(held)[:-1]:
            if sum(held.values()) <= self._limit and len(held) <= MAX_IMAGES:
                return
            if self._tasks[name].done():
                del held[name], self._tasks[name]


def _memory(task: asyncio.Task[Upload]) -> int:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return 0
    return task.result().nbytes
