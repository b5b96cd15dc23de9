"""API keys of endpoints: where one is kept, and keeping it there.

A key is read when a request goes out and lives in its headers only. It is never part of a message, a setting
or an error; `Key` prints as dots, and what an endpoint sends back is searched for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamscope.engine.errors import ModelUnavailable
from dreamscope.engine.settings import SettingError

LONGEST = 4096
SHORTEST_HIDDEN = 8
"""Shorter ones, like the EMPTY that local servers take, are no secrets and may be words of an answer."""


class Key:
    """A key that does not show itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Key(...)"

    def headers(self) -> dict[str, str]:
        """Both ways to present it: the Moondream one and the OpenAI one."""
        return {"X-Moondream-Auth": self._text, "Authorization": f"Bearer {self._text}"}

    def hidden(self, text: str) -> str:
        """`text`, which may be JSON, with dots in place of the key."""
        if len(self._text) < SHORTEST_HIDDEN:
            return text
        return text.replace(self._text, "...").replace(json.dumps(self._text)[1:-1], "...")


@dataclass(frozen=True, slots=True)
class KeySource:
    """`env` names an environment variable, `file` a file; neither, and there is no key."""

    env: str | None = None
    file: Path | None = None

    @classmethod
    def parse(cls, text: Any, where: str) -> KeySource:
        """From `env:VARIABLE` or `file:PATH`. Raises `SettingError`, which does not quote the text."""
        way, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        if way == "env" and rest:
            return cls(env=rest)
        if way == "file" and rest:
            return cls(file=Path(rest).expanduser())
        raise SettingError(
            f"{where}: say where the key is, env:VARIABLE or file:PATH; the key itself does not belong here."
        )

    def read(self, endpoint: str, environ: Mapping[str, str] | None = None) -> Key | None:
        """The key; `None` if none is configured. Raises `ModelUnavailable` if it is not in its place."""
        if self.env is not None:
            text = (os.environ if environ is None else environ).get(self.env, "")
            where = f"the environment variable {self.env}"
        elif self.file is not None:
            where = f"the file {self.file}"
            try:
                text = self.file.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                raise ModelUnavailable(
                    f"The key of {endpoint} is to be in {where}, which cannot be read."
                ) from None
        else:
            return None
        text = text.strip()
        if not text or len(text) > LONGEST or not text.isascii() or not text.isprintable():
            raise ModelUnavailable(f"The key of {endpoint} is to be in {where}, and there is none.")
        return Key(text)
