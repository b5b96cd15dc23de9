"""Preview images of shared pages, rendered once for as long as what they show stays the same."""

from __future__ import annotations

import threading
from collections import OrderedDict

from dreamscope.app.preview import preview_png
from dreamscope.app.share import Exhibit
from dreamscope.app.store.store import Store
from dreamscope.visualizers import facts

MOST = 64
"""Previews that are kept, those that were asked for last; one takes up to a megabyte."""
_Key = tuple[str, tuple[tuple[str, str, int], ...]]


class Previews:
    """Of the shares of one store; safe in any thread."""

    def __init__(self, store: Store, most: int = MOST) -> None:
        self._store, self._most = store, most
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, exhibit: Exhibit) -> bytes:
        """The PNG. Whoever asks for one that is being rendered waits for it."""
        key = _state(exhibit)
        with self._lock:
            made = self._kept.get(key) or self._render(exhibit)
            self._kept[key] = made
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return made

    def _render(self, exhibit: Exhibit) -> bytes:
        images = [
            self._store.image(record.picture.hash) if record.picture else None for record in exhibit.records
        ]
        shown = [
            (record, image.data if image else None)
            for record, image in zip(exhibit.records, images, strict=True)
        ]
        return preview_png(shown, _title(exhibit))


def _state(exhibit: Exhibit) -> _Key:
    """What a preview depends on: events of a run are only ever added, up to the last one."""
    runs = ((one.id, one.state, sum(len(part.events) for part in one.parts)) for one in exhibit.records)
    return _title(exhibit), tuple(runs)


def _title(exhibit: Exhibit) -> str:
    return exhibit.title or facts.question(exhibit.records[0])
