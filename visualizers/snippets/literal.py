"""Values of users and models as Python source: ASCII literals, of which nothing can become code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH = 88


def literal(value: Any, indent: int = 0) -> str:
    """`value` (JSON types) as an expression; on several lines, `indent` deep, if it is long."""
    line = ascii(value)
    if len(line) + indent <= WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return line
    pad, end = " " * (indent + 4), " " * indent
    if isinstance(value, dict):
        items = (f"{pad}{key!a}: {literal(item, indent + 4)}," for key, item in value.items())
        return "\n".join(["{", *items, f"{end}}}"])
    return "\n".join(["[", *(f"{pad}{literal(item, indent + 4)}," for item in value), f"{end}]"])


def call(function: str, arguments: Iterable[tuple[str, str]]) -> str:
    """A call with keyword arguments, whose values are source already."""
    given = [f"{name}={value}" if name else value for name, value in arguments]
    line = f"{function}({', '.join(given)})"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in given), ")"])


def comment(text: str) -> str:
    """One line of comment in ASCII, whatever the text holds."""
    return f"# {' '.join(text.split()).encode('ascii', 'replace').decode()}"
