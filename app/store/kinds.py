"""What the store takes and gives, besides `Record`. Times are UTC in ISO 8601 with milliseconds and `Z`."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dreamscope.visualizers.record import Picture

COMPARISON_KINDS = ("compare", "batch")
BATCH_STATES = ("queued", "running", "done", "stopped", "failed", "interrupted")
PAGE_SIZE = 50
MOST_AT_ONCE = 500
"""Runs that one search returns, unless told otherwise and at most."""


class StoreError(Exception):
    """The data folder or something given to the store cannot be used; the text is a sentence for people."""


def new_id() -> str:
    """An id for a run, a comparison or a batch: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def new_slug() -> str:
    """The unguessable end of a share's address: 128 random bits in 22 URL-safe characters."""
    return secrets.token_urlsafe(16)


def timestamp(after_s: float = 0.0) -> str:
    """The time now, or `after_s` seconds from now, as the store writes it."""
    return written(datetime.now(UTC) + timedelta(seconds=after_s))


def written(moment: datetime) -> str:
    """A time in UTC as the store writes it; such texts sort like times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as it is kept and sent to the engine: upright, without metadata.

    `hash`: SHA-256 of `data` in hex; `width` and `height` in pixels.
    """

    hash: str
    media_type: str
    width: int
    height: int
    data: bytes = field(repr=False)

    @property
    def picture(self) -> Picture:
        """What a record says of it."""
        return Picture(self.hash, self.width, self.height, self.media_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which runs to list, newest first; empty fields do not restrict. `image` is the hash of one.

    `text` is what a person typed: every word must begin a word of title, prompt, reasoning, answer or notes,
    and words in double quotes must follow each other. `since` and `until` are days (`2026-03-01`) or whole
    timestamps, both inclusive. `deleted` lists those that can still be restored instead. `cursor` is the
    `next` of an earlier answer.
    """

    text: str = ""
    skill: str = ""
    model: str = ""
    tag: str = ""
    since: str = ""
    until: str = ""
    pinned: bool | None = None
    state: str = ""
    comparison: str = ""
    image: str = ""
    deleted: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run in a list. `model_name` is what people call the model; `answer` the beginning; `image` the
    hash, with its size in pixels; `comparison_runs` how many runs its comparison has.
    """

    id: str
    created_at: str
    finished_at: str | None
    state: str
    skill: str
    model: str
    model_name: str
    revision: str
    variant: str
    title: str
    prompt: str
    answer: str
    image: str | None
    width: int | None
    height: int | None
    tags: tuple[str, ...]
    pinned: bool
    rating: int
    comparison: str | None
    comparison_title: str
    comparison_kind: str
    comparison_runs: int
    column: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page of runs, where the next one begins (empty: there is none), and how many there are in all.

    `facets` counts for `skill`, `model`, `state` and `tag` what would be found with each value, most first.
    """

    runs: tuple[Summary, ...]
    next: str
    total: int
    facets: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Deletion:
    """Runs that were deleted together: how many, what the newest is called, and until when `token` restores
    them.
    """

    token: str
    runs: int
    name: str
    until: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs that stand side by side, `runs` in the order of their columns."""

    id: str
    title: str
    created_at: str
    kind: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A read-only address of one run or one comparison; neither once what it showed was deleted for good."""

    slug: str
    run_id: str | None
    comparison_id: str | None
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    @property
    def live(self) -> bool:
        """Whether it still shows something."""
        expired = self.expires_at is not None and self.expires_at <= timestamp()
        return self.revoked_at is None and not expired and bool(self.run_id or self.comparison_id)


@dataclass(frozen=True, slots=True)
class BatchImage:
    """One image of a batch: the stored image's hash and the file name it came with."""

    hash: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The same asks on many images; `asks` as the page sends them, one per column."""

    id: str
    title: str
    created_at: str
    state: str = "queued"
    asks: tuple[dict[str, Any], ...] = ()
    images: tuple[BatchImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """What is kept and where; sizes in bytes. `folder` is `None` when nothing outlives the process.

    `trouble` is a sentence if something could not be written.
    """

    folder: Path | None
    runs: int
    deleted: int
    images: int
    shares: int
    image_bytes: int
    file_bytes: int
    limit: int
    trouble: str | None = None
