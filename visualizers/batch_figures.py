"""The figures of a batch: which answers met how often, and how the differences are distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dreamscope.visualizers import batch_words
from dreamscope.visualizers.batch_items import Item, ItemSide, same_answer
from dreamscope.visualizers.labels import shorten
from dreamscope.visualizers.matching import DISTANCE, IOU

MOST_VALUES = 9
"""Rows and columns of a matrix besides the one of all others."""
FARTHEST_COUNT = 5
"""Differences of counts beyond it share a bar."""
SHARES = 10
"""Bars of a histogram over 0..1."""
_FARTHEST = 0.5


@dataclass(frozen=True, slots=True)
class Matrix:
    """`cells[i][j]`: on how many images the first model said `labels[i]` and the second `labels[j]`.

    `rest`: the last row and column hold all values that have none of their own.
    """

    labels: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    rest: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many images fall into each bar, from left to right."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]


def agrees(item: Item, skill: str) -> bool:
    """Whether two whole answers count as the same, as `batch_words.AGREEMENT` says it."""
    if skill in ("point", "detect"):
        return item.left is not None and item.right is not None and item.left.count == item.right.count
    limit = {"segment": 1 - IOU, "gaze": DISTANCE}.get(skill, 0.0)
    return item.disagreement is not None and item.disagreement <= limit


def matrix_of(items: Sequence[Item], skill: str) -> Matrix | None:
    """What met what, of the images that are compared; `None` for captions, which hardly ever repeat."""
    pairs = [
        (_value(item.left, skill), _value(item.right, skill))
        for item in items
        if item.compared and item.left is not None and item.right is not None
    ]
    if skill == "caption" or not pairs:
        return None
    seen = Counter(value for pair in pairs for value in pair)
    often = [value for value, _ in seen.most_common(MOST_VALUES)]
    shown = sorted(often, key=_number) if skill in ("point", "detect") else often
    rest = len(seen) > len(shown)
    place = {value: index for index, value in enumerate(shown)}
    size = len(shown) + rest
    cells = [[0] * size for _ in range(size)]
    for left, right in pairs:
        cells[place.get(left, len(shown))][place.get(right, len(shown))] += 1
    labels = [shorten(value) or batch_words.NO_ANSWER for value in shown] + [batch_words.OTHER] * rest
    return Matrix(tuple(labels), tuple(map(tuple, cells)), rest)


def histogram_of(items: Sequence[Item], skill: str) -> Histogram | None:
    """How the differences of the compared images are distributed; `None` if there are none to show."""
    compared = [item for item in items if item.compared]
    if skill in ("point", "detect"):
        differences = [
            item.right.count - item.left.count
            for item in compared
            if item.left and item.right and item.left.count is not None and item.right.count is not None
        ]
        return _of_counts(differences)
    measure: Callable[[Item], float | None] = {
        "segment": lambda item: item.mask_iou,
        "gaze": lambda item: item.distance,
    }.get(skill, lambda item: item.shared_words)
    values = [value for item in compared if (value := measure(item)) is not None]
    return _of_shares(values, _FARTHEST if skill == "gaze" else 1.0)


def _value(side: ItemSide, skill: str) -> str:
    """What a side said, as it is counted."""
    if skill == "query":
        return same_answer(side.answer or "")
    count = side.count or 0
    if skill in ("segment", "gaze"):
        return ("outline" if skill == "segment" else "target") if count else "none"
    return str(count)


def _number(value: str) -> int:
    return int(value)


def _of_counts(differences: Sequence[int]) -> Histogram | None:
    if not differences:
        return None
    far = FARTHEST_COUNT
    reach = min(max((abs(value) for value in differences), default=0), far)
    bars = range(-max(reach, 1), max(reach, 1) + 1)
    beyond = max(map(abs, differences)) > far
    counts = Counter(max(-far, min(far, value)) for value in differences)
    labels = []
    for value in bars:
        sign = "+" if value > 0 else "−" if value < 0 else ""
        open_end = "" if not beyond or abs(value) < far else "≥" if value > 0 else "≤"
        labels.append(f"{open_end}{sign}{abs(value)}")
    return Histogram(tuple(labels), tuple(counts[value] for value in bars))


def _of_shares(values: Sequence[float], largest: float) -> Histogram | None:
    if not values:
        return None
    width = largest / SHARES
    counts = Counter(min(int(value / width), SHARES - 1) for value in values)
    ends = [f"{n * width:.2f}–{(n + 1) * width:.2f}" for n in range(SHARES)]
    if largest < 1:
        ends[-1] = f"{largest - width:.2f} or more"
    return Histogram(tuple(ends), tuple(counts[n] for n in range(SHARES)))
