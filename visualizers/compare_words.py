"""The sentences of comparisons and batches. Plain text; whoever puts it into HTML escapes it.

They say what was measured and never which side is better.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.visualizers.words import MISSING

SAME_WORDS = "Both say the same words."
DIFF_TOO_LONG = "These texts are too long to be compared word by word; both stand in full."
OTHER_IMAGE = "On different images, so no marks are matched"
NO_PLACES = "No marks on either side"

HOW_MATCHED = {
    "box": "Boxes are the same if their intersection over union (IoU) is at least {iou:g}.",
    "mask": "Outlines are the same if their intersection over union (IoU) is at least {iou:g}.",
    "place": "Places are the same if they lie at most {distance:.0%} of the image's diagonal apart.",
}
BEST_IN_TOTAL = "Each mark has at most one partner, and the pairing is the one that fits best in total."
SAME_NAMES = "Only marks of the same name are paired."

FIRST_TOKEN = "From when it began to its first token; what it waited before is told apart."
TOTAL = "From when it began to its end; what it waited before is told apart."
WAITED = (
    "For its model to be loaded, or for other requests, such as another column. It is in none of the other "
    "times."
)
CACHED = (
    "Tokens of the image and the question that it did not have to read, because an earlier request on this "
    "image had. The first token comes sooner for it."
)

_PLURALS = {"image": "images", "mark": "marks"}


def matched(count: int) -> str:
    """Marks with a partner."""
    return f"{count} matched"


def only_in(count: int, name: str) -> str:
    """Marks without one."""
    return f"{count} only in {name}"


def silent(names: Sequence[str]) -> str:
    """Why there is nothing to compare."""
    return f"{' and '.join(names)} did not answer"


def mask_overlap(iou: float) -> str:
    """How much outlines cover the same."""
    return f"outlines overlap with IoU {iou:.2f}"


def shared_words(share: float) -> str:
    """How alike two answers are worded."""
    return "same answer" if share >= 1 else f"{share:.0%} of the answer's words shared"


def between(left: str, right: str) -> str:
    """What a line of the strip compares."""
    return f"{left} and {right}"


def iou(value: float) -> str:
    """How well two boxes or outlines cover each other."""
    return f"IoU {value:.2f}"


def apart(share: float) -> str:
    """How far two places lie apart."""
    return f"{share:.1%} of the diagonal apart"


def counted(count: int, kind: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {kind if count == 1 else _PLURALS[kind]}"


def share(value: float | None) -> str:
    """A share of 1, or a dash."""
    return MISSING if value is None else f"{value:.2f}"
