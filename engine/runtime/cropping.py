"""Images cut for the vision encoder, on a small pool, once for everybody who waits for the same one.

Nothing is cut before a request is known to need it, and never more than a few images at a time: crops are
large, and those of a long queue would fill the memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dreamscope.engine.runtime.images import RawImage

THREADS = 2
AHEAD = 8
"""Images that may be cut or being cut and not yet on the device."""

Cut = Callable[[RawImage], Any]
"""An image to what a runner takes of it. Any thread."""


class _Cutting:
    """One image in the pool, and the tickets that wait for it."""

    def __init__(self, future: Future[Any]) -> None:
        self.future = future
        self.tickets: set[CropTicket] = set()


class Cropper:
    """Owned by the engine thread; `wake` is called on another one whenever an image is ready."""

    def __init__(self, cut: Cut, wake: Callable[[], None], ahead: int = AHEAD) -> None:
        self._cut = cut
        self._wake = wake
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dreamscope-crop")
        self._cuttings: dict[str, _Cutting] = {}

    def join(self, ticket: CropTicket) -> Future[Any] | None:
        """The crops of the ticket's image, begun if nobody has; `None` while there are too many."""
        digest = ticket.image.digest
        cutting = self._cuttings.get(digest)
        if cutting is None:
            if len(self._cuttings) >= self._ahead:
                return None
            cutting = self._cuttings[digest] = _Cutting(self._pool.submit(self._timed, ticket.image))
            cutting.future.add_done_callback(lambda _: self._wake())
        cutting.tickets.add(ticket)
        return cutting.future

    def leave(self, ticket: CropTicket) -> None:
        """The ticket does without; crops that nobody else waits for are dropped."""
        cutting = self._cuttings.get(ticket.image.digest)
        if cutting is None or ticket not in cutting.tickets:
            return
        cutting.tickets.remove(ticket)
        if not cutting.tickets:
            cutting.future.cancel()
            del self._cuttings[ticket.image.digest]

    def _timed(self, image: RawImage) -> tuple[Any, float]:
        begun = time.perf_counter()
        crops = self._cut(image)
        return crops, (time.perf_counter() - begun) * 1000

    def close(self) -> None:
        """Wait for the threads; what has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)


class CropTicket:
    """Implements `ImageTicket` for one image of one request."""

    def __init__(self, image: RawImage, cropper: Cropper) -> None:
        self.image = image
        self._cropper = cropper
        self._future: Future[Any] | None = None
        self.milliseconds: float | None = None
        """How long the cutting took, if it was taken from here."""

    def request(self) -> None:
        """Have the image cut, as soon as there is room for it."""
        if self._future is None:
            self._future = self._cropper.join(self)

    @property
    def ready(self) -> bool:
        """Whether it is cut, or could not be."""
        return self._future is not None and self._future.done()

    def payload(self) -> Any:
        """The crops. Raises what went wrong."""
        assert self._future is not None
        crops, self.milliseconds = self._future.result()
        return crops

    def drop(self) -> None:
        """The crops are on the device, or not needed any more; `request` would have them cut again."""
        if self._future is not None:
            self._future = None
            self._cropper.leave(self)
