"""JSON from outside, refused where it holds what we could not walk or write again.

Python reads more than JSON is: NaN, numbers beyond every float, lone surrogates, and lists so deep that a
function which calls itself for each level ends in a `RecursionError`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEEPEST = 64
"""Levels of lists and objects, far below what Python can walk."""


def parse(text: str | bytes, deepest: int = DEEPEST) -> Any:
    """The value of `text`. Raises `ValueError` with a sentence that says what is wrong."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(f"it is more than {deepest} levels deep") from None
    check(value, deepest)
    return value


def check(value: Any, deepest: int = DEEPEST) -> None:
    """Raises `ValueError` if `value`, as `json.loads` gives it, is too deep or could not be written again."""
    if depth(value, deepest) > deepest:
        raise ValueError(f"it is more than {deepest} levels deep")
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("its text must be Unicode without lone surrogates") from None
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None


def depth(value: Any, most: int) -> int:
    """How many levels of lists and objects lie in `value`; it counts no further than one above `most`."""
    level, levels = [value], 0
    while level and levels <= most:
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [one for item in nested for one in (item.values() if isinstance(item, dict) else item)]
        levels += bool(nested)
    return levels


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
