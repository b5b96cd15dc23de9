"""`--no-retention`: nothing on disk for long, and the page says so."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from dreamscope.app.config import TABLE
from dreamscope.app.data import open_history
from dreamscope.app.forgetting import Forgetting
from dreamscope.app.hub import Hub
from dreamscope.app.ui import said
from dreamscope.app.ui.shell import shell_html
from dreamscope.engine.settings import load


class Cleared:
    """A store that only hears that it is to be empty."""

    def __init__(self) -> None:
        self.clearing = threading.Event()

    def clear(self) -> None:
        self.clearing.set()


def test_the_history_is_not_in_the_data_folder(tmp_path):
    values = load(TABLE, "up", {"data": str(tmp_path), "retention": "off"}, {})
    with contextlib.closing(open_history(values, {})) as store:
        assert store.storage().folder is None
    assert list(tmp_path.iterdir()) == []


async def test_all_is_deleted_once_the_last_page_is_closed():
    store = Cleared()
    hub = Hub(Forgetting(store, away_s=0.0).pages)  # type: ignore[arg-type]
    with hub.listening(print), hub.listening(print):
        hub.changed(["a run"])
        assert not store.clearing.is_set()
    assert await asyncio.to_thread(store.clearing.wait, 20)


def test_a_run_that_no_page_saw_is_deleted_too():
    store = Cleared()
    Hub(Forgetting(store, away_s=0.0).pages).changed(["a run"])  # type: ignore[arg-type]
    assert store.clearing.wait(20)


def test_a_page_that_comes_back_in_time_keeps_what_it_shows():
    store = Cleared()
    pages = Forgetting(store, away_s=0.2).pages  # type: ignore[arg-type]
    pages(0)
    pages(1)
    assert not store.clearing.wait(0.5)


def test_the_page_says_what_is_kept():
    kept, brief = shell_html(()), shell_html((), retention=False)
    assert said.PRIVACY[0] in kept
    assert said.PRIVACY[0] not in brief
    assert said.NOT_RETAINED in brief
    assert said.NOT_RETAINED not in kept
    assert said.KEPT_BRIEFLY.partition(":")[0] in brief
