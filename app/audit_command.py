"""`dreamscope audit`: the checks of one run, kept in the history or exported, in the terminal or as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dreamscope.app.data import data_folder
from dreamscope.app.detections import detected
from dreamscope.app.store.connect import FILE
from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.portable import FILE_LIMIT_BYTES, unpack
from dreamscope.app.store.store import Store
from dreamscope.engine.settings import SettingError, Values
from dreamscope.visualizers import facts, record_json
from dreamscope.visualizers.audit.check import Check, to_json
from dreamscope.visualizers.audit.checks import audit
from dreamscope.visualizers.audit.html import VERDICTS, summary
from dreamscope.visualizers.audit.line import sentence
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.record import Record

LOOK = 1
"""Exit status if any check wants a look."""
MOST_CANDIDATES = 5
"""Runs that are named where the beginning of an id fits several."""


def audit_run(run: str, values: Values, environ: Mapping[str, str]) -> int:
    """Print the checks of `run`, a file, an id or its beginning; 1 if any wants a look, else 0.

    Raises `SettingError`.
    """
    record, boxes = _from_file(Path(run)) if os.path.exists(run) else _from_history(run, values, environ)
    checks = audit(record, boxes)
    if values["json"]:
        known = {"run": record.id, "summary": summary(checks), "checks": [to_json(one) for one in checks]}
        print(json.dumps(known, indent=2))
    else:
        for check in checks:
            print(_line(record, check))
        print(summary(checks))
    return LOOK if any(check.verdict == "look" for check in checks) else 0


def _from_file(path: Path) -> tuple[Record, list[Record]]:
    """A `.dreamscope` file or the raw JSON of a run; what else was run on its image is not in it."""
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise SettingError(f"{path}: too large to be an exported run.")
        data = path.read_bytes()
        record = unpack(data)[0] if data[:2] == b"PK" else record_json.loads(data)
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}.") from None
    except (StoreError, record_json.RecordError) as error:
        raise SettingError(f"{path}: {error}") from None
    return record, []


def _from_history(run: str, values: Values, environ: Mapping[str, str]) -> tuple[Record, list[Record]]:
    """The run whose id is `run` or alone begins with it, and the detect runs it can be compared with."""
    folder: Path = values["data"] or data_folder(environ)
    if not (folder / FILE).is_file():
        raise SettingError(f"{run}: no such file, and {folder} holds no history.")
    try:
        store = Store.open(folder, limit=sys.maxsize)  # to look is no reason to purge
    except StoreError as error:
        raise SettingError(f"--data: {error}") from None
    try:
        record = _meant(store, run)
        if record is None:
            raise SettingError(f"{run}: neither a file nor a run of the history in {folder}.")
        return record, detected(store, record)
    finally:
        store.close()


def _meant(store: Store, run: str) -> Record | None:
    """The run of that id, or the only one whose id begins like that; `None` if there is none."""
    ids = (run,) if store.record(run) else store.ids(run, MOST_CANDIDATES + 1)
    found = [record for record in map(store.record, ids) if record is not None]
    if len(found) < 2:
        return found[0] if found else None
    shown = ", ".join(f"{record.id} ({facts.question(record):.60})" for record in found[:MOST_CANDIDATES])
    more = ", and more" if len(found) > MOST_CANDIDATES else ""
    raise SettingError(clean(f"{run}: several runs begin with that, write more of the id: {shown}{more}."))


def _line(record: Record, check: Check) -> str:
    said = sentence(record, check).replace("\n", " ")
    return clean(f"{VERDICTS[check.verdict]:9}  {check.id:17} {said}")
