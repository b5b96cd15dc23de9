"""A comparison as CSV for spreadsheets and as JSON for scripts; its columns are those of a batch's files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from dreamscope.visualizers.batch_export import cell, side_row
from dreamscope.visualizers.batch_items import side_of
from dreamscope.visualizers.comparison import Between, Compared, Match, compare
from dreamscope.visualizers.places import Place
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.sides import LETTERS

_WITH_FIRST = ("matched", "only_first", "only_here", "mask_iou", "shared_words")


def comparison_csv(records: Sequence[Record]) -> str:
    """One row per column of the comparison; how it goes with the first is empty for the first.

    Texts that a spreadsheet would take for a formula begin with an apostrophe. Raises as `compare`.
    """
    rows = _rows(records, compare(records))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(rows[0])
    writer.writerows([cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def comparison_json(records: Sequence[Record]) -> dict[str, Any]:
    """The rows, and for every two columns their pairs of marks and the marks without a partner.

    Raises as `compare`.
    """
    compared = compare(records)
    first = records[0]
    return {
        "title": first.title,
        "skill": first.skill,
        "prompt": first.prompt,
        "sha256": first.picture.hash if first.picture else None,
        "columns": _rows(records, compared),
        "between": [_between(pair) for pair in compared.pairs],
    }


def _rows(records: Sequence[Record], compared: Compared) -> list[dict[str, Any]]:
    with_first = [dict.fromkeys(_WITH_FIRST), *map(_with_first, compared.betweens)]
    return [
        {
            "column": LETTERS[side.column],
            "name": side.name,
            "model": record.model,
            "adapter": record.variant or None,
            "prompt": record.prompt,
            "sha256": record.picture.hash if record.picture else None,
            **side_row(side_of(record)),
            **same,
        }
        for record, side, same in zip(records, compared.sides, with_first, strict=True)
    ]


def _with_first(between: Between) -> dict[str, Any]:
    marks = (between.matches, between.only_left, between.only_right)
    counts = [len(each) if between.comparable else None for each in marks]
    shared = between.answers.shared if between.answers else None
    return dict(zip(_WITH_FIRST, (*counts, between.mask_iou, shared), strict=True))


def _between(between: Between) -> dict[str, Any]:
    left, right = LETTERS[between.left], LETTERS[between.right]
    return {
        "left": left,
        "right": right,
        "comparable": between.comparable,
        "mask_iou": between.mask_iou,
        "shared_words": between.answers.shared if between.answers else None,
        "pairs": [_pair(match) for match in between.matches],
        "only_left": [_mark(place) for place in between.only_left],
        "only_right": [_mark(place) for place in between.only_right],
    }


def _pair(match: Match) -> dict[str, Any]:
    return {
        "left": _mark(match.left),
        "right": _mark(match.right),
        match.measure: match.value,
        "same_words": match.same_words,
    }


def _mark(place: Place) -> dict[str, Any]:
    """A mark; a point, or the middle of a box, and its sides as fractions of the image."""
    sides = place.box and {name: getattr(place.box, name) for name in ("x_min", "y_min", "x_max", "y_max")}
    return {
        "kind": place.kind,
        "object": place.label or None,
        "words": place.words or None,
        "x": place.x,
        "y": place.y,
        "box": sides,
    }
