"""The history as the commands of the terminal use it: opened, and a run found by the beginning of its id."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from dreamscope.app.store.connect import FILE
from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.store import Store
from dreamscope.engine.settings import SettingError, Values, data_folder
from dreamscope.visualizers import facts
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.record import Record

MOST_CANDIDATES = 5
"""Runs that are named where the beginning of an id fits several."""


def history_folder(values: Values, environ: Mapping[str, str]) -> Path:
    """The folder that `--data` names, or the system's."""
    folder: Path = values["data"] or data_folder(environ)
    return folder


@contextmanager
def kept_history(folder: Path) -> Iterator[Store]:
    """The history in `folder`, which must have one. Raises `SettingError`."""
    if not (folder / FILE).is_file():
        raise SettingError(f"{folder} holds no history; --data names another folder.")
    try:
        store = Store.open(folder, limit=sys.maxsize)  # to look is no reason to purge
    except StoreError as error:
        raise SettingError(f"--data: {error}") from None
    with closing(store):
        yield store


def find_run(store: Store, run: str) -> Record | None:
    """The run of that id, or the only one whose id begins like that; `None` if there is none.

    Raises `SettingError` that names the candidates where there are several.
    """
    ids = (run,) if store.record(run) else store.ids(run, MOST_CANDIDATES + 1)
    found = [record for record in map(store.record, ids) if record is not None]
    if len(found) < 2:
        return found[0] if found else None
    shown = ", ".join(f"{record.id} ({facts.question(record):.60})" for record in found[:MOST_CANDIDATES])
    more = ", and more" if len(found) > MOST_CANDIDATES else ""
    raise SettingError(clean(f"{run}: several runs begin with that, write more of the id: {shown}{more}."))
