"""The image that a page shows, and which images the engine has over the present connection."""

from __future__ import annotations

from collections.abc import Mapping

from dreamscope.app.client import data_url
from dreamscope.app.store.kinds import StoredImage
from dreamscope.engine import wire


class Pictures:
    """Images of one page. Engine and history know them by their hash, the page by ids of its own."""

    def __init__(self) -> None:
        self.shown: StoredImage | None = None
        self.ready: set[str] = set()
        """The images that the engine has decoded."""
        self._shown_id = ""
        self._put: set[str] = set()

    def show(self, image_id: str, image: StoredImage | None) -> None:
        """The page shows this image, or none that can be used."""
        self._shown_id, self.shown = image_id, image

    def disconnected(self) -> None:
        """The next connection begins without images."""
        self.ready, self._put = set(), set()

    def needed(self, waiting: Mapping[str, StoredImage]) -> list[wire.Message]:
        """What to send so that the engine has the image shown and those that requests wait for, by hash, and
        no others. A request that has an image keeps it when it is dropped. They count as sent.
        """
        images = dict(waiting)
        if self.shown is not None:
            images[self.shown.hash] = self.shown
        stale = self._put - images.keys()
        new = images.keys() - self._put
        self._put, self.ready = set(images), self.ready - stale
        drops = [wire.ImageDrop(image_hash) for image_hash in sorted(stale)]
        return [*drops, *(wire.ImagePut(each, data_url(images[each].data)) for each in sorted(new))]

    def sent(self, image_hash: str) -> bool:
        """Whether the engine was given this image over the present connection."""
        return image_hash in self._put

    def rejected(self, image_hash: str) -> str | None:
        """The engine cannot decode an image; returns the page's id if it is the one shown, and no more is."""
        self._put.discard(image_hash)
        if self.shown is None or self.shown.hash != image_hash:
            return None
        self.shown = None
        return self._shown_id
