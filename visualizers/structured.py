"""An answer in JSON or CSV as a table or a tree, with the text itself one click away.

A list of flat objects and an object of single values are tables wherever they stand, all else is a tree.
Numbers are shown as they were written. What is large is cut: the text has all of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TypeGuard

from dreamscope.visualizers import words
from dreamscope.visualizers.escape import escape

FORMATS = ("json_object", "json_schema", "csv")
MOST_ROWS = 200
MOST_COLUMNS = 32
MOST_NODES = 2000
DEEPEST = 32
OPEN_DEPTH = 3


class Number(str):
    """A JSON number as it was written."""


def render(text: str, plain: str, form: str) -> str:
    """The `div.structured` of `text` in format `form`; `plain` is the same text as safe HTML."""
    try:
        view, note = _csv(text) if form == "csv" else _json(text)
    except (ValueError, RecursionError, csv.Error):
        view, note = "", words.unreadable(form)
    button, shown, hidden = "", "", ""
    if view:
        button = f'<button type="button" class="raw-toggle" aria-pressed="false">{words.RAW_TEXT}</button>'
        shown, hidden = f'<div class="structured-view">{view}</div>', ' hidden="hidden"'
    return (
        f'<div class="structured" data-format="{escape(form)}"><div class="structured-bar">'
        f'<p class="structured-note">{escape(note)}</p>{button}</div>'
        f'{shown}<pre class="raw"{hidden}>{plain}</pre></div>'
    )


def _json(text: str) -> tuple[str, str]:
    """The view of JSON text and a sentence about it. Raises `ValueError` or `RecursionError`."""
    value = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_refuse)
    return _Tree().value(value, 0), _counted(value)


def _csv(text: str) -> tuple[str, str]:
    """The view of CSV text and a sentence about it; blank lines do not count. Raises `csv.Error`."""
    rows = [row for row in csv.reader(io.StringIO(text.strip(), newline=""), strict=True) if row]
    if not rows:
        raise ValueError("There is no line.")
    head, *body = rows
    table = _table(head, [dict(enumerate(row)) for row in body], range(max(map(len, rows))))
    return table, words.items(len(body), "row")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")


def _counted(value: Any) -> str:
    if isinstance(value, list):
        return words.items(len(value), "item")
    return words.items(len(value), "field") if isinstance(value, dict) else words.ONE_VALUE


class _Tree:
    """Writes values as HTML until `MOST_NODES` are written."""

    def __init__(self) -> None:
        self._left = MOST_NODES

    def value(self, value: Any, depth: int) -> str:
        """A single value, a table, or a list of parts."""
        if isinstance(value, (dict, list)) and value:
            if depth >= DEEPEST or self._left <= 0:
                return _more(words.DEEPER)
            if _flat(value):
                self._left -= len(value)
                return _fields(value)
            if isinstance(value, list) and all(isinstance(item, dict) and _flat(item) for item in value):
                self._left -= sum(map(len, value[:MOST_ROWS]))
                return _objects(value)
            return self._parts(value, depth)
        return _single(value)

    def _parts(self, value: dict[str, Any] | list[Any], depth: int) -> str:
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value, start=1))
        out = []
        for nth, (name, part) in enumerate(pairs):
            if self._left <= 0 or nth == MOST_ROWS:
                out.append(f"<li>{_more(words.more(len(pairs) - nth, 'item'))}</li>")
                break
            self._left -= 1
            out.append(f"<li>{self._part(str(name), part, depth)}</li>")
        return f'<ul class="structured-tree">{"".join(out)}</ul>'

    def _part(self, name: str, part: Any, depth: int) -> str:
        key = f'<span class="structured-key">{escape(name)}</span>'
        if not isinstance(part, (dict, list)) or not part:
            return f"{key} {_single(part)}"
        opened = ' open="open"' if depth < OPEN_DEPTH else ""
        count = f'<span class="structured-count">{escape(_counted(part))}</span>'
        inner = self.value(part, depth + 1)
        return f"<details{opened}><summary>{key} {count}</summary>{inner}</details>"


def _flat(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether this is an object with fields, all of them single values."""
    return (
        isinstance(value, dict)
        and bool(value)
        and not any(isinstance(part, (dict, list)) for part in value.values())
    )


def _fields(value: dict[str, Any]) -> str:
    """An object of single values, one field a row."""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>{_single(part)}</td></tr>'
        for name, part in list(value.items())[:MOST_ROWS]
    ]
    more = _more(words.more(len(value) - MOST_ROWS, "field")) if len(value) > MOST_ROWS else ""
    return f'<table class="structured-table fields"><tbody>{"".join(rows)}</tbody></table>{more}'


def _objects(value: list[dict[str, Any]]) -> str:
    """A list of flat objects, one a row; a field that one lacks is an empty cell."""
    names = list(dict.fromkeys(name for item in value[:MOST_ROWS] for name in item))
    return _table(names, value, names)


def _table(head: Sequence[str], rows: Sequence[dict[Any, Any]], columns: Sequence[Any]) -> str:
    """A table of the `columns` of `rows` below `head`."""
    shown = columns[:MOST_COLUMNS]
    titles = [head[nth] if nth < len(head) else "" for nth in range(len(shown))]
    top = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(f"<tr>{''.join(_cells(row, shown))}</tr>" for row in rows[:MOST_ROWS])
    more = [words.more(len(rows) - MOST_ROWS, "row")] if len(rows) > MOST_ROWS else []
    more += [words.more(len(columns) - len(shown), "column")] if len(columns) > len(shown) else []
    return (
        f'<table class="structured-table"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
        + "".join(map(_more, more))
    )


def _cells(row: dict[Any, Any], columns: Sequence[Any]) -> Iterator[str]:
    for column in columns:
        yield f"<td>{_single(row[column])}</td>" if column in row else "<td></td>"


def _single(value: Any) -> str:
    """A value without parts."""
    match value:
        case Number():
            return f'<span class="structured-number">{escape(value)}</span>'
        case str():
            return f'<span class="structured-text">{escape(value)}</span>'
        case True | False | None:
            return f'<span class="structured-word">{json.dumps(value)}</span>'
        case _:
            return f'<span class="structured-word">{words.EMPTY}</span>'


def _more(sentence: str) -> str:
    return f'<p class="structured-more">{escape(sentence)}</p>'
