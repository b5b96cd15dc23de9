"""Where the history lies, and opening it as the settings say."""

from __future__ import annotations

from collections.abc import Mapping

from dreamscope.app.store.kinds import StoreError
from dreamscope.app.store.store import Store
from dreamscope.engine.settings import SettingError, Values, data_folder


def open_history(values: Values, environ: Mapping[str, str]) -> Store:
    """The history that `--data`, `--history`, `--retention` and `--history-limit` ask for.

    Raises `SettingError`.
    """
    folder = values["data"] or data_folder(environ)
    keeps = values["history"] and values["retention"]
    try:
        return Store.open(folder if keeps else None, values["history_limit"])
    except StoreError as error:
        raise SettingError(f"--data: {error}") from None
