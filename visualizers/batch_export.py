"""A batch report as CSV for spreadsheets and as JSON for scripts."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from dreamscope.visualizers.batch_figures import agrees
from dreamscope.visualizers.batch_items import Item, ItemSide
from dreamscope.visualizers.batch_report import Report

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HEADER = (
    "image",
    "sha256",
    "agrees",
    "disagreement",
    "left_answer",
    "right_answer",
    "left_count",
    "right_count",
    "matched",
    "only_left",
    "only_right",
    "mask_iou",
    "distance",
    "shared_words",
    "left_state",
    "right_state",
    "left_error",
    "right_error",
    "left_total_ms",
    "right_total_ms",
    "left_waited_ms",
    "right_waited_ms",
    "left_tokens",
    "right_tokens",
    "left_charged_usd",
    "right_charged_usd",
    "left_elsewhere_usd",
    "right_elsewhere_usd",
    "left_run",
    "right_run",
    "comparison",
    "trouble",
)


def report_csv(report: Report) -> str:
    """One row per image, in the order in which they were given; what is not known is empty.

    Texts that a spreadsheet would take for a formula begin with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for item in report.items:
        row = _row(item, report.skill)
        writer.writerow([cell(row[name]) for name in HEADER])
    return out.getvalue()


def report_json(report: Report) -> dict[str, Any]:
    """Everything that the report says, as plain JSON values."""
    return {
        "title": report.title,
        "skill": report.skill,
        "prompt": report.prompt,
        "columns": list(report.names),
        "images": len(report.items),
        "compared": len(report.compared),
        "agreeing": report.agreeing,
        "failed": len(report.failed),
        "waiting": report.waiting,
        "summary": report.summary,
        "definitions": list(report.definitions),
        "matrix": asdict(report.matrix) if report.matrix else None,
        "histogram": asdict(report.histogram) if report.histogram else None,
        "items": [_row(item, report.skill) for item in report.items],
    }


def inert_text(text: str) -> str:
    """`text` so that no spreadsheet computes it."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def side_row(given: ItemSide | None) -> dict[str, Any]:
    """What one side said, and what it took; all `None` for none."""
    cost = given.cost.to_json() if given and given.cost else {}
    return {
        "answer": given.answer if given else None,
        "count": given.count if given else None,
        "state": given.state if given else None,
        "error": (given.error or None) if given else None,
        "total_ms": given.total_ms if given else None,
        "waited_ms": given.waited_ms if given else None,
        "tokens": given.tokens if given else None,
        "charged_usd": cost.get("charged_usd"),
        "elsewhere_usd": cost.get("elsewhere_usd"),
        "run": given.run if given else None,
    }


def cell(value: Any) -> Any:
    """A value as it stands in a CSV file: empty for nothing, and no formula."""
    if value is None:
        return ""
    return inert_text(value) if isinstance(value, str) else value


def _row(item: Item, skill: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image": item.name,
        "sha256": item.hash,
        "agrees": agrees(item, skill) if item.compared else None,
        "disagreement": item.disagreement,
        "matched": item.matched,
        "only_left": item.only_left,
        "only_right": item.only_right,
        "mask_iou": item.mask_iou,
        "distance": item.distance,
        "shared_words": item.shared_words,
        "comparison": item.comparison,
        "trouble": item.trouble or None,
    }
    for side, given in (("left", item.left), ("right", item.right)):
        row |= {f"{side}_{name}": value for name, value in side_row(given).items()}
    return row
