"""What a shared page, a file of its own and a preview image are made of: one run, or up to four side by side.

They are read from the store each time, so what is deleted is gone from them at once. No engine, no Gradio.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from dreamscope.app import words
from dreamscope.app.bundle import bundle, static_text
from dreamscope.app.detections import detected
from dreamscope.app.store.kinds import Share
from dreamscope.app.store.store import Store
from dreamscope.visualizers.overlay import data_uri
from dreamscope.visualizers.page import MOST_COLUMNS, Dress, Page, Preview, Shown, render
from dreamscope.visualizers.record import Record

_STYLES = ("shared_page.css", "evidence.css", "verdict.css", "replay.css")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Runs that are shown together; `opens` is where the page of this server shows them."""

    title: str
    records: tuple[Record, ...]
    opens: str


def exhibit_of_run(store: Store, run_id: str) -> Exhibit | None:
    """A run by itself; `None` if it is not kept or was deleted."""
    record = store.record(run_id)
    return None if record is None else Exhibit(record.title, (record,), f"/?run={run_id}")


def exhibit_of_comparison(store: Store, comparison_id: str) -> Exhibit | None:
    """The runs of a comparison that are still kept; `None` if there are none, or too many for a page."""
    comparison = store.comparison(comparison_id)
    if comparison is None or len(comparison.runs) > MOST_COLUMNS:
        return None
    found = (store.record(run_id) for run_id in comparison.runs)
    records = tuple(record for record in found if record is not None)
    if not records:
        return None
    return Exhibit(comparison.title, records, f"/?view=compare&comparison={comparison_id}")


def exhibit_of_share(store: Store, share: Share) -> Exhibit | None:
    """What a share shows; `None` if it is over or what it showed was deleted."""
    if not share.live:
        return None
    if share.run_id is not None:
        return exhibit_of_run(store, share.run_id)
    return None if share.comparison_id is None else exhibit_of_comparison(store, share.comparison_id)


def served_page(exhibit: Exhibit, base: str, slug: str, store: Store) -> Page:
    """The page of a share under the address `base` of this server, with image and timeline beside it."""
    here = f"/s/{slug}"
    hashes = [record.picture.hash if record.picture else "" for record in exhibit.records]
    shown = [
        Shown(
            record,
            heading_of(record),
            # Columns with the same image have one address for it, so that it is loaded once.
            f"{here}/image/{hashes.index(hashes[nth])}" if record.picture else "",
            f"{here}/timeline/{nth}",
            tuple(detected(store, record)),
        )
        for nth, record in enumerate(exhibit.records)
    ]
    address = base.rstrip("/") + here
    preview = Preview(address, f"{address}/preview.png")
    return render(shown, dress(), title=exhibit.title, opens=exhibit.opens, preview=preview)


def file_page(exhibit: Exhibit, store: Store) -> Page:
    """One file that holds everything, and opens from disk without asking anybody for anything."""
    shown = [
        Shown(record, heading_of(record), _embedded(record, store), detected=tuple(detected(store, record)))
        for record in exhibit.records
    ]
    return render(shown, dress(), title=exhibit.title)


def heading_of(record: Record) -> str:
    """What the run gives, in a word."""
    return words.TITLES.get(record.skill, words.TITLES["query"])


@functools.cache
def dress() -> Dress:
    """Style and script of shared pages."""
    return Dress("".join(map(static_text, _STYLES)), bundle("shared_page.js"))


def _embedded(record: Record, store: Store) -> str:
    image = store.image(record.picture.hash) if record.picture else None
    return data_uri(image.data, image.media_type) if image else ""
