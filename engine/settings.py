"""One table of settings drives flags, environment, help and documentation.

A leaf: standard library only, so the engine and the app can both build their tables from it. The rows live
in `engine/config.py` and `app/config.py`. A value comes from the flag, else the environment variable, else
the default; an empty environment variable counts as unset.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENV_PREFIX = "DREAMSCOPE_"
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


class SettingError(ValueError):
    """A flag or environment variable has a value that its setting does not allow."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `type` turns text into a value and raises `ValueError` when it cannot.

    `commands` lists the commands that have the flag; empty means all. `secret` values are read from the
    environment as well but never printed and never put on a child's command line. `variable` replaces the
    name in the environment variable, where two tables would otherwise share one.
    """

    name: str
    type: Callable[[str], Any]
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    commands: tuple[str, ...] = ()
    secret: bool = False
    metavar: str | None = None
    variable: str | None = None

    @property
    def flag(self) -> str:
        """Command line spelling, `--max-queue`."""
        return "--" + self.name.replace("_", "-")

    @property
    def env(self) -> str:
        """Environment variable, `DREAMSCOPE_MAX_QUEUE`."""
        return ENV_PREFIX + (self.variable or self.name).upper()

    def parse(self, text: str, source: str) -> Any:
        """Text to a checked value. Raises `SettingError` naming `source` and what is allowed."""
        try:
            value = self.type(text)
        except ValueError:
            raise SettingError(f"{source}: {text!r} is not {self.allowed()}.") from None
        if self.choices and value not in self.choices:
            raise SettingError(f"{source}: {text!r} is not {self.allowed()}.")
        below = self.minimum is not None and value < self.minimum
        above = self.maximum is not None and value > self.maximum
        if below or above or value != value:  # the last one catches NaN
            raise SettingError(f"{source}: {text!r} is not {self.allowed()}.")
        return value

    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is boolean:
            return "one of " + ", ".join(_TRUE + _FALSE)
        if self.type is existing_folder:
            return "a folder that exists"
        if self.type not in (int, float):
            return "a valid " + self.name.replace("_", " ")
        words = "a whole number" if self.type is int else "a number"
        if self.minimum is not None and self.maximum is not None:
            return f"{words} from {self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f"{words} of at least {self.minimum}"
        return words

    def describe(self) -> str:
        """Help text with default and environment variable."""
        shown = "none" if self.default in (None, ()) else self.default
        shown = {True: "on", False: "off"}[shown] if isinstance(shown, bool) else shown
        return f"{self.help} [default: {shown}; env: {self.env}]"


@dataclass(frozen=True, slots=True)
class Values:
    """Resolved settings of one command; `explicit` holds the names that a flag or the environment set."""

    values: Mapping[str, Any]
    explicit: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def boolean(text: str) -> bool:
    """The `type` of on/off settings. Raises `ValueError`."""
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(text)


def comma_list(text: str) -> tuple[str, ...]:
    """The `type` of settings that hold several names: `a, b` to `("a", "b")`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def existing_folder(text: str) -> Path:
    """The `type` of settings that name a folder, which must exist. Raises `ValueError`."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError(text)
    return path


def folder(text: str) -> Path:
    """The `type` of settings that name a folder which may still have to be made. Raises `ValueError`."""
    path = Path(text).expanduser()
    if not text.strip() or (path.exists() and not path.is_dir()):
        raise ValueError(text)
    return path.absolute()


def data_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The folder for what Dreamscope keeps, where the system wants such a folder to be."""
    if platform == "win32":
        base = environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        named = environ.get("XDG_DATA_HOME", "")
        base = named if named.startswith("/") else Path.home() / ".local" / "share"
    return Path(base) / "dreamscope"


def rows_of(table: Iterable[Setting], command: str) -> list[Setting]:
    """The settings that `command` has."""
    return [row for row in table if not row.commands or command in row.commands]


def add_flags(parser: argparse.ArgumentParser, table: Iterable[Setting], command: str) -> None:
    """Give `parser` one flag per row of `command`; flags keep their text, `load` checks it."""
    for row in rows_of(table, command):
        help_text = row.describe().replace("%", "%%")
        if row.type is boolean:
            negative = "--no-" + row.flag[2:]
            parser.add_argument(
                row.flag, dest=row.name, action="store_const", const="on", default=None, help=help_text
            )
            parser.add_argument(
                negative, dest=row.name, action="store_const", const="off", help=argparse.SUPPRESS
            )
        else:
            metavar = row.metavar or ("|".join(row.choices) if row.choices else row.name.upper())
            action = "append" if row.type is comma_list else "store"  # lists may be given in several flags
            parser.add_argument(
                row.flag, dest=row.name, action=action, default=None, metavar=metavar, help=help_text
            )


def load(
    table: Iterable[Setting], command: str, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> Values:
    """Resolve every row of `command`. `flags` is `vars(namespace)`. Raises `SettingError`."""
    values: dict[str, Any] = {}
    explicit: set[str] = set()
    for row in rows_of(table, command):
        text, source = flags.get(row.name), row.flag
        text = ",".join(text) if isinstance(text, list) else text
        if text is None and environ.get(row.env):
            text, source = environ[row.env], row.env
        if text is None:
            values[row.name] = row.default
            continue
        values[row.name] = row.parse(str(text), source)
        explicit.add(row.name)
    return Values(values, frozenset(explicit))


def to_flags(table: Iterable[Setting], command: str, values: Values) -> list[str]:
    """The explicit, non-secret values as arguments for a child that runs `command` of the same table."""
    arguments: list[str] = []
    for row in rows_of(table, command):
        if row.secret or row.name not in values.explicit:
            continue
        value = values[row.name]
        if row.type is boolean:
            arguments.append(row.flag if value else "--no-" + row.flag[2:])
        else:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            arguments.append(f"{row.flag}={text}")
    return arguments


def markdown(table: Iterable[Setting]) -> str:
    """The table as the README shows it."""
    lines = ["| flag | environment | default | meaning |", "|---|---|---|---|"]
    for row in table:
        shown = "" if row.default in (None, ()) else f"`{row.default}`"
        lines.append(f"| `{row.flag}` | `{row.env}` | {shown} | {row.help} |")
    return "\n".join(lines) + "\n"
