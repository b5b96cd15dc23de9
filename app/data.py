"""Where the history lies, and opening it as the settings say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.store import Store
from dreamscope.engine.settings import SettingError, Values

NAME = "dreamscope"


def data_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The folder for what programs keep, as the system wants it."""
    if platform == "win32":
        base = environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        named = environ.get("XDG_DATA_HOME", "")
        base = named if named.startswith("/") else Path.home() / ".local" / "share"
    return Path(base) / NAME


def open_history(values: Values, environ: Mapping[str, str]) -> Store:
    """The history that `--data`, `--history` and `--history-limit` ask for. Raises `SettingError`."""
    folder = values["data"] or data_folder(environ)
    try:
        return Store.open(folder if values["history"] else None, values["history_limit"])
    except StoreError as error:
        raise SettingError(f"--data: {error}") from None
