"""`dreamscope audit`: the checks of one run, kept in the history or exported, in the terminal or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from dreamscope.app.detections import detected
from dreamscope.app.kept import find_run, history_folder, kept_history
from dreamscope.app.store.connect import FILE
from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.portable import FILE_LIMIT_BYTES, unpack
from dreamscope.engine.settings import SettingError, Values
from dreamscope.visualizers import record_json
from dreamscope.visualizers.audit.check import Check, to_json
from dreamscope.visualizers.audit.checks import audit
from dreamscope.visualizers.audit.html import VERDICTS, summary
from dreamscope.visualizers.audit.line import sentence
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.record import Record

LOOK = 1
"""Exit status if any check wants a look."""


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
    folder = history_folder(values, environ)
    if not (folder / FILE).is_file():
        raise SettingError(f"{run}: no such file, and {folder} holds no history.")
    with kept_history(folder) as store:
        record = find_run(store, run)
        if record is None:
            raise SettingError(f"{run}: neither a file nor a run of the history in {folder}.")
        return record, detected(store, record)


def _line(record: Record, check: Check) -> str:
    said = sentence(record, check).replace("\n", " ")
    return clean(f"{VERDICTS[check.verdict]:9}  {check.id:17} {said}")
