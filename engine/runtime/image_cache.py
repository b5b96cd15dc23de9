"""Images the model has already read: their keys and values, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.lora import Adapter


def prefix_key(digest: str, adapter: Adapter | None) -> str:
    """Identity of a prefix: the image, and the adapter that its keys and values were computed with."""
    return digest if adapter is None else f"{digest}+{adapter.digest}"


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """The prefix (BOS and image rows) of every request about one image."""

    cache: KVCache
    nbytes: int


class ImageCache:
    """Encoded images by `prefix_key`, within a number of bytes. Only the engine thread touches it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._images: OrderedDict[str, EncodedImage] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, key: str) -> bool:
        return key in self._images

    def get(self, key: str) -> EncodedImage | None:
        """The image, now the most recently used."""
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
        return image

    def put(self, key: str, image: EncodedImage) -> None:
        """Keep an image; one that exceeds the bound by itself is not kept."""
        if image.nbytes > self._max_bytes or key in self._images:
            return
        self._images[key] = image
        self.nbytes += image.nbytes
        while self.nbytes > self._max_bytes:
            _, oldest = self._images.popitem(last=False)
            self.nbytes -= oldest.nbytes
