"""Fills the holes of the HTML templates beside this file: `%name%` and `%icon:name%`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

from dreamscope.app.ui.icons import icon
from dreamscope.app.ui.markup import text

_HOLE = re.compile(r"%([a-z_]+)(?::([a-z]+))?%")


def fill(name: str, parts: Mapping[str, str]) -> str:
    """The template `name` with `parts`, which are HTML already. Raises `KeyError` for a part or an icon that
    is not there."""
    template = files("dreamscope.app.ui").joinpath(name).read_text("utf-8")
    return _HOLE.sub(lambda hole: icon(hole[2]) if hole[2] else parts[hole[1]], template)


def words_attribute(said: Mapping[str, object]) -> str:
    """The sentences that a view's script shows, as the value of its `data-words`."""
    return text(json.dumps(said))
