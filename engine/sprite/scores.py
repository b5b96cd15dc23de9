"""Scores as right cases of all cases, the marks they are held to, and how they are written down."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKS: Mapping[str, float] = {
    "presence": 0.93,
    "point F1 (inside the object)": 0.90,
    "detect F1 @ IoU 0.5": 0.88,
    "count, grounded": 0.85,
    "caption names": 0.90,
}
"""What a shipped Sprite must reach."""
SEGMENT_MARKS: Mapping[str, float] = {**MARKS, "segment mIoU": 0.72}
"""What one that outlines objects must reach."""


@dataclass(slots=True)
class Tally:
    """Right cases of all cases."""

    right: float = 0.0
    cases: float = 0.0

    def add(self, right: float, cases: float = 1.0) -> None:
        """Count `cases` cases of which `right` were right."""
        self.right += right
        self.cases += cases

    @property
    def share(self) -> float | None:
        """Between 0 and 1; `None` without cases."""
        return self.right / self.cases if self.cases else None


@dataclass(slots=True)
class Scores:
    """Named tallies."""

    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def __getitem__(self, name: str) -> Tally:
        return self.tallies[name]

    def share(self, name: str) -> float | None:
        """The share of a tally, `None` if nothing was counted."""
        return self.tallies[name].share if name in self.tallies else None


def table(columns: Mapping[str, Scores], marks: Mapping[str, float]) -> str:
    """Scores by model as a Markdown table, with the marks beside them; the cases stand in brackets."""
    names = sorted({name for scores in columns.values() for name in scores.tallies})
    rows = [f"| quantity | {' | '.join(columns)} | mark |", "| --- |" + " --- |" * (len(columns) + 1)]
    for name in names:
        cells = [_cell(scores, name) for scores in columns.values()]
        rows.append(
            f"| {name} | {' | '.join(cells)} | {f'{100 * marks[name]:.0f} %' if name in marks else ''} |"
        )
    return "\n".join(rows)


def _cell(scores: Scores, name: str) -> str:
    share = scores.share(name)
    return "–" if share is None else f"{100 * share:.1f} % ({scores[name].cases:.0f})"


def missed(scores: Scores, marks: Mapping[str, float] = MARKS) -> list[str]:
    """Marks that are not reached, and whether grounding helps counting."""
    failures = [f"{name} < {mark}" for name, mark in marks.items() if (scores.share(name) or 0) < mark]
    if (scores.share("count, grounded") or 0) <= (scores.share("count, direct") or 0):
        failures.append("count, grounded is not above count, direct")
    return failures


def record(scores: Scores, weights: Path, scenes: int, seed: int) -> dict[str, object]:
    """The scores as JSON, tied to the weights they belong to."""
    return {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "scenes": scenes,
        "seed": seed,
        "scores": {name: [tally.right, tally.cases] for name, tally in sorted(scores.tallies.items())},
    }


def recorded(data: dict[str, Any]) -> Scores:
    """Inverse of `record`, for the scores alone."""
    scores = Scores()
    for name, (right, cases) in data["scores"].items():
        scores[name].add(right, cases)
    return scores
