"""The history: every run from its first event, in one SQLite file that other programs can open as it is.

    begin ─▶ append, append, … ─▶ finish       return at once; written within about 50 ms by one thread
    record, search, comparison, image, …       read on connections of their own: call them in a thread
    change, delete, restore, clear, …          return when committed: call them in a thread

1. A run is in the file from `begin` on. What a crash cuts off is what was not yet written, never more.
2. The events of a part are in the order of their `seq`, each once.
3. A run that nobody can finish any more is `interrupted`: at the next opening, or at `close`.
4. A deleted run is nowhere to be seen; for ten minutes `restore` brings it back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dreamscope.app.store import changing, deletions, portable, reading, recording, search, sharing
from dreamscope.app.store.connect import FILE, Readers, open_writing
from dreamscope.app.store.kinds import (
    Batch,
    Comparison,
    Deletion,
    Found,
    Search,
    Share,
    Storage,
    StoredImage,
    StoreError,
    new_id,
)
from dreamscope.app.store.sessions import Session, living, opening, remove_abandoned
from dreamscope.app.store.thumbs import thumbnail
from dreamscope.app.store.writer import Writer
from dreamscope.engine import wire
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.record import STATES, Picture, Record
from dreamscope.visualizers.truth import Known

DEFAULT_LIMIT = 5000
_TEMPORARY = "dreamscope-history-"
T = TypeVar("T")


class Store:
    """The history in one data folder, made once per process with `open`; safe in any thread."""

    def __init__(self, folder: Path, kept: bool, limit: int, closing: ExitStack) -> None:
        self._folder, self._kept, self._limit, self._closing = folder, kept, limit, closing
        with opening(folder):
            connection = open_writing(folder)
            self._session = Session(folder, new_id())
            alive = living(folder)
        self._writer = Writer(connection, partial(changing.purge, limit=limit))
        self._readers = Readers(folder)
        self._closed = False
        self._writer.call(partial(recording.interrupt, dead=lambda session: session not in alive))
        self._writer.call(partial(changing.purge, limit=limit))

    @classmethod
    def open(cls, folder: Path | None, limit: int = DEFAULT_LIMIT) -> Store:
        """The history in `folder`, which is made if need be; with `None` one that is gone after `close`.

        `limit` is how many runs are kept. Raises `StoreError` when the folder cannot be used.
        """
        closing = ExitStack()
        try:
            if folder is None:
                remove_abandoned(Path(tempfile.gettempdir()), _TEMPORARY, FILE)
                made = closing.enter_context(tempfile.TemporaryDirectory(prefix=_TEMPORARY))
                return cls(Path(made), False, limit, closing)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(folder, True, limit, closing)
        except OSError as error:
            closing.close()
            raise StoreError(f"The data folder {folder} cannot be used: {error.strerror}.") from None
        except StoreError:
            closing.close()
            raise

    def close(self) -> None:
        """Write what is queued, interrupt what this process has begun, and leave. Again is harmless."""
        if self._closed:
            return
        self._closed = True
        self._writer.call(partial(recording.interrupt, dead=lambda session: session == self._session.id))
        self._writer.close()
        self._readers.close()
        self._session.close()
        self._closing.close()

    # ------------------------------------------------------------------------------------------ recording

    def begin(self, record: Record) -> None:
        """Write a run that starts; its parts may have events already. Returns at once."""
        self._writer.post(partial(recording.begin, record=record, session=self._session.id))

    def append(self, run_id: str, part: int, events: Sequence[wire.RequestEvent]) -> None:
        """Write more events of a part. Returns at once; events of a run that was deleted are dropped."""
        self._writer.post(partial(recording.append, run_id=run_id, part=part, events=tuple(events)))

    def finish(self, run_id: str, part: int, state: str) -> None:
        """End a part. Returns at once. Raises `ValueError` for an unknown state."""
        if state not in STATES:
            raise ValueError(f"Unknown state {state!r}; one of {', '.join(STATES)}.")
        self._writer.post(partial(recording.finish, run_id=run_id, part=part, state=state))

    def amend(
        self,
        run_id: str,
        *,
        model: str | None = None,
        revision: str | None = None,
        answerer: Answerer | None = None,
    ) -> None:
        """Say which model and revision answer, and what is known of them. Returns at once."""
        self._writer.post(
            partial(recording.amend, run_id=run_id, model=model, revision=revision, answerer=answerer)
        )

    @property
    def trouble(self) -> str | None:
        """A sentence while what is recorded cannot be written, as when the disk is full."""
        return self._writer.trouble

    def flush(self) -> None:
        """Wait until everything that was given so far is committed."""
        self._writer.call(lambda _: None)

    # -------------------------------------------------------------------------------------------- reading

    def record(self, run_id: str) -> Record | None:
        """A run with all its events; `None` if there is none or it was deleted."""
        return self._read(reading.record, run_id)

    def search(self, query: Search) -> Found:
        """The runs that fit, newest first. Raises `StoreError` for a cursor that no search gave."""
        return self._read(search.search, query)

    def ids(self, beginning: str, most: int) -> tuple[str, ...]:
        """The ids of runs that begin with these letters, newest first, at most `most`."""
        return self._read(reading.ids, beginning, most)

    def deletions(self) -> tuple[Deletion, ...]:
        """What `restore` can still bring back, newest first."""
        return self._read(deletions.deletions)

    def comparison(self, comparison_id: str) -> Comparison | None:
        """A comparison with the ids of its runs."""
        return self._read(reading.comparison, comparison_id)

    def image(self, image_hash: str) -> StoredImage | None:
        """An image whose bytes are kept."""
        return self._read(reading.image, image_hash)

    def thumb(self, image_hash: str) -> bytes | None:
        """An image as a WebP of at most 256 pixels."""
        return self._read(reading.thumb, image_hash)

    def storage(self) -> Storage:
        """How much is kept, and where."""
        return self._read(reading.storage, self._folder, self._kept, self._limit, self._writer.trouble)

    # ------------------------------------------------------------------------------------------- changing

    def change(
        self,
        run_id: str,
        *,
        title: str | None = None,
        notes: str | None = None,
        tags: Iterable[str] | None = None,
        pinned: bool | None = None,
        rating: int | None = None,
    ) -> bool:
        """Change what is given; whether there is such a run. Raises `StoreError` for what cannot be kept."""
        return self._writer.call(
            partial(
                changing.change,
                run_id=run_id,
                title=title,
                notes=notes,
                tags=None if tags is None else tuple(tags),
                pinned=pinned,
                rating=rating,
            )
        )

    def set_truth(self, run_id: str, truth: Sequence[Known] | None) -> bool:
        """Keep what people know to be in a run's image, `None` to forget it; whether there is such a run."""
        return self._writer.call(partial(changing.set_truth, run_id=run_id, truth=truth))

    def delete(self, run_ids: Iterable[str]) -> str:
        """Hide runs and drop them ten minutes later; the token for `restore`, empty if none was there."""
        return self._writer.call(partial(changing.delete, run_ids=tuple(run_ids)))

    def restore(self, token: str) -> tuple[str, ...]:
        """Bring back what a `delete` hid; the ids of what was still there."""
        return self._writer.call(partial(changing.restore, token=token))

    def clear(self) -> None:
        """Delete everything, runs, images and shares, and leave nothing of it in the file."""
        self._writer.call(changing.clear, alone=True)

    def purge(self) -> int:
        """Drop for good what is due; happens by itself every minute. How many runs that were."""
        return self._writer.call(partial(changing.purge, limit=self._limit))

    def add_comparison(self, comparison_id: str, title: str, kind: str = "compare") -> None:
        """Begin or rename a comparison; runs join it by their `comparison` and `column`."""
        self._writer.call(
            partial(changing.add_comparison, comparison_id=comparison_id, title=title, kind=kind)
        )

    def keep_comparison(self, run_ids: Sequence[str], title: str = "") -> str:
        """Keep runs side by side, in the order of columns; the comparison's id. A run of another comparison
        joins as a copy. Raises `StoreError` for a run that is not there or not over.
        """
        records = [self.record(run_id) for run_id in run_ids]
        return self._writer.call(
            partial(changing.keep_comparison, records=records, title=title, session=self._session.id)
        )

    def put_image(self, image: StoredImage) -> Picture:
        """Keep an image, once however often it comes. Raises `StoreError` if it cannot be decoded."""
        self._writer.call(partial(recording.put_image, image=image, thumb=thumbnail(image.data)))
        return image.picture

    def export_run(self, run_id: str) -> bytes | None:
        """A run with its image as one `.dreamscope` file; `None` if there is no such run."""
        record = self.record(run_id)
        if record is None:
            return None
        return portable.pack(record, self.image(record.picture.hash) if record.picture else None)

    def import_run(self, data: bytes) -> str:
        """Add the run of a `.dreamscope` file under a new id, which is returned.

        Raises `StoreError` saying what is wrong with the file.
        """
        record, image = portable.unpack(data)
        if image:
            self.put_image(image)
        self._writer.call(partial(recording.begin, record=record, session=self._session.id))
        return record.id

    # ------------------------------------------------------------------------------- shares and batches

    def add_share(
        self,
        *,
        run_id: str | None = None,
        comparison_id: str | None = None,
        expires_in_s: float | None = None,
    ) -> Share:
        """Make an address for a run or a comparison. Raises `StoreError` if there is no such thing."""
        return self._writer.call(
            partial(sharing.add_share, run_id=run_id, comparison_id=comparison_id, expires_in_s=expires_in_s)
        )

    def share(self, slug: str) -> Share | None:
        """A share, whether it is live or not."""
        return self._read(sharing.share, slug)

    def shares(self, *, run_id: str | None = None, comparison_id: str | None = None) -> tuple[Share, ...]:
        """The shares of a run or a comparison, or with neither all, newest first."""
        return self._read(sharing.shares, run_id, comparison_id)

    def revoke(self, slug: str) -> bool:
        """End a share; whether there was one to end."""
        return self._writer.call(partial(sharing.revoke, slug=slug))

    def add_batch(self, batch: Batch) -> None:
        """Write a batch. Raises `StoreError` for an unknown state."""
        self._writer.call(partial(sharing.add_batch, batch=batch, session=self._session.id))

    def batch(self, batch_id: str) -> Batch | None:
        """One batch."""
        return self._read(sharing.batch, batch_id)

    def batches(self, limit: int = 100) -> tuple[Batch, ...]:
        """The newest batches."""
        return self._read(sharing.batches, limit)

    def update_batch(self, batch_id: str, *, state: str | None = None, title: str | None = None) -> bool:
        """Change what is given; whether there is such a batch. Raises `StoreError` for an unknown state."""
        return self._writer.call(partial(sharing.update_batch, batch_id=batch_id, state=state, title=title))

    def _read(self, work: Callable[..., T], *given: Any) -> T:
        with self._readers.reading() as db:
            return work(db, *given)
