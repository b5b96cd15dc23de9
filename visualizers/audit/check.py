"""What a check says: a verdict, a sentence, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dreamscope.engine import wire

Verdict = Literal["fine", "look", "unknown"]
"""`look`: two things that should agree do not; a person decides what it means. `unknown`: what it takes to
compare is missing, and the sentence says what."""
Where = Literal["prompt", "reasoning", "answer"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing to look at: words, marks or a place.

    `ground` is the id of the marks (`g0`, `p3`, `1.b2`); `start` and `end` are code points of the text
    `where`; `point` and `box` (x_min, y_min, x_max, y_max) are fractions of the image; `label` names it.
    """

    label: str
    ground: str | None = None
    where: Where | None = None
    start: int | None = None
    end: int | None = None
    point: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check; `part` counts the parts of the run from 0, `run` is the id of the detect run
    that it was settled by.
    """

    id: str
    verdict: Verdict
    text: str
    evidence: tuple[Evidence, ...] = ()
    part: int = 0
    run: str | None = None


def to_json(check: Check) -> dict[str, Any]:
    """The check as a script reads it; absent fields of its evidence are left out."""
    found: dict[str, Any] = {**wire.to_json(check), "evidence": [wire.to_json(one) for one in check.evidence]}
    return found


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of many, the first six."""
    if len(words) > 6:
        words = [*words[:6], f"{len(words) - 6} more"]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 point`, `3 points`, `no point`."""
    if count == 0:
        return f"no {one}"
    return f"{count} {one if count == 1 else many or one + 's'}"
