"""Finding runs: words by the full-text index, the rest by columns. Work for a reader's connection."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from dreamscope.app.store.codec import clean
from dreamscope.app.store.kinds import MOST_AT_ONCE, Found, Search, StoreError, Summary

_EXCERPT = 280
_MOST_WORDS = 24
_LONGEST_TEXT = 1000
_MOST_TAGS = 200
_PHRASE_OR_WORD = re.compile(r'"([^"]*)"?|([^\s"]+)')
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MATCHES = "r.number IN (SELECT rowid FROM runs_fts WHERE runs_fts MATCH ?)"
_FACETS = ("skill", "model", "state")

_SUMMARY = f"""
SELECT r.number, r.id, r.created_at, r.finished_at, r.state, r.skill, r.model, r.revision, r.variant,
  COALESCE(NULLIF(json_extract(r.answerer, '$.name'), ''), r.model) AS model_name,
  r.title, r.prompt, substr(r.answer, 1, {_EXCERPT}) AS answer, r.image_hash AS image, i.width, i.height,
  r.pinned, r.rating, r.comparison_id AS comparison, r.column_no AS "column",
  COALESCE(c.title, '') AS comparison_title, COALESCE(c.kind, '') AS comparison_kind,
  (SELECT COUNT(*) FROM runs o WHERE o.comparison_id = r.comparison_id AND o.deleted_at IS NULL)
    AS comparison_runs,
  (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE run_id = r.id ORDER BY tag)) AS tags
FROM runs r LEFT JOIN images i ON i.hash = r.image_hash
  LEFT JOIN comparisons c ON c.id = r.comparison_id
"""


def match(text: str) -> str | None:
    """What a person typed as an FTS5 expression that has no operators of theirs; `None` if it has no words.

    Each word becomes a quoted prefix, each phrase in double quotes a quoted phrase; all must be there.
    """
    return " ".join(f'"{phrase}"' if phrase else f'"{word}"*' for phrase, word in _terms(text)) or None


def terms_of(text: str) -> tuple[str, ...]:
    """The words and phrases that a person searches for."""
    return tuple(phrase or word for phrase, word in _terms(text))


def _terms(text: str) -> list[tuple[str, str]]:
    """Phrases and words, one of the two empty; what holds no letter or digit is none."""
    found = _PHRASE_OR_WORD.findall(clean(text)[:_LONGEST_TEXT])
    return [pair for pair in found if any(map(str.isalnum, "".join(pair)))][:_MOST_WORDS]


def search(db: sqlite3.Connection, query: Search) -> Found:
    """The runs that fit. Raises `StoreError` for a cursor that no search gave."""
    texts = {field.name: getattr(query, field.name) for field in fields(query)}
    cleaned: dict[str, Any] = {name: clean(text) for name, text in texts.items() if isinstance(text, str)}
    query = replace(query, **cleaned)
    where, values = _conditions(query)
    facets = _facets(db, query)
    limit = max(1, min(query.limit, MOST_AT_ONCE))
    paged, from_here = where, list(values)
    if query.cursor:
        created_at, _, number = query.cursor.partition("~")
        if not number.isdecimal() or len(number) > 18:
            raise StoreError("The cursor is not one that a search has given.")
        paged += " AND (r.created_at, r.number) < (?, ?)"
        from_here += [created_at, int(number)]
    rows = db.execute(
        f"{_SUMMARY} WHERE {paged} ORDER BY r.created_at DESC, r.number DESC LIMIT ?", [*from_here, limit + 1]
    ).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = f"{last['created_at']}~{last['number']}" if last else ""
    return Found(tuple(map(_summary, rows[:limit])), cursor, *facets)


def _summary(row: sqlite3.Row) -> Summary:
    known = {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118 - a Row is no dict
    known["tags"] = tuple(json.loads(known["tags"]))
    known["pinned"] = bool(known["pinned"])
    return Summary(**known)


def _conditions(query: Search, without: Sequence[str] = ()) -> tuple[str, list[Any]]:
    """The WHERE clause over `runs r`, and its values; `without` names filters to leave out."""
    clauses, values = ["r.deleted_at IS NOT NULL" if query.deleted else "r.deleted_at IS NULL"], []
    for name, column in (
        ("skill", "skill"),
        ("model", "model"),
        ("state", "state"),
        ("comparison", "comparison_id"),
        ("image", "image_hash"),
    ):
        if getattr(query, name) and name not in without:
            clauses.append(f"r.{column} = ?")
            values.append(getattr(query, name))
    if query.tag and "tag" not in without:
        clauses.append("r.id IN (SELECT run_id FROM tags WHERE tag = ?)")
        values.append(query.tag)
    if query.pinned is not None:
        clauses.append("r.pinned = ?")
        values.append(int(query.pinned))
    if query.since:
        clauses.append("r.created_at >= ?")
        values.append(query.since)
    if query.until:
        clauses.append("r.created_at <= ?")
        values.append(query.until + "T23:59:59.999Z" if _DAY.fullmatch(query.until) else query.until)
    if query.text.strip():
        expression = match(query.text)
        clauses.append(
            "r.number IN (SELECT rowid FROM runs_fts WHERE runs_fts MATCH ?)" if expression else "0"
        )
        values += [expression] if expression else []
    return " AND ".join(clauses), values


def _facets(db: sqlite3.Connection, query: Search) -> tuple[int, dict[str, dict[str, int]]]:
    """How many runs fit, and how many would with each value of the facets instead of the one asked for."""
    where, values = _conditions(query, _FACETS)
    counts = db.execute(
        f"SELECT {', '.join(f'r.{name}' for name in _FACETS)}, COUNT(*) FROM runs r WHERE {where} "
        f"GROUP BY {', '.join(f'r.{name}' for name in _FACETS)}",
        values,
    ).fetchall()
    asked = [getattr(query, name) for name in _FACETS]
    total, found = 0, {name: Counter[str]() for name in _FACETS}
    for *row, n in counts:
        misfits = [
            name for name, value, wanted in zip(_FACETS, row, asked, strict=True) if wanted not in ("", value)
        ]
        total += 0 if misfits else n
        for name, value in zip(_FACETS, row, strict=True):
            if set(misfits) <= {name}:
                found[name][value] += n
    facets = {name: dict(sorted(counter.items(), key=_most_first)) for name, counter in found.items()}
    where, values = _conditions(query, ("tag",))
    tags = db.execute(
        f"SELECT t.tag, COUNT(*) AS n FROM tags t JOIN runs r ON r.id = t.run_id WHERE {where} "
        f"GROUP BY 1 ORDER BY n DESC, 1 LIMIT {_MOST_TAGS}",
        values,
    )
    return total, {**facets, "tag": {tag: n for tag, n in tags}}


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]
