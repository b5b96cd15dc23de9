"""The sentences of a batch report. Plain text; whoever puts it into HTML escapes it.

Every figure has its definition in words, and no model is ever called the better one.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.visualizers.compare_words import counted
from dreamscope.visualizers.matching import DISTANCE, IOU
from dreamscope.visualizers.words import MISSING

OTHER = "other"
NOTHING_YET = "No image is compared yet."
NO_ANSWER = "no answer"

_MATCHED = {
    "detect": f"Two boxes are partners if their intersection over union (IoU) is at least {IOU:g}",
    "point": f"Two points are partners if they lie at most {DISTANCE:.0%} of the image's diagonal apart",
}
_PAIRING = "each mark has at most one partner, and the pairing is the one that fits best in total."

AGREEMENT = {
    "query": "Same answer",
    "caption": "Same words",
    "point": "Same number of points",
    "detect": "Same number of boxes",
    "segment": f"Same outline (IoU at least {IOU:g}, or none on both sides)",
    "gaze": f"Same target (at most {DISTANCE:.0%} of the diagonal apart, or none on both sides)",
}
DEFINITIONS: dict[str, tuple[str, ...]] = {
    "query": (
        "Answers are the same if they differ at most in letter case, white space and the marks at their end.",
        "Disagreement is 0 for the same answer, else the share of all words that they do not have in common.",
    ),
    "caption": ("Disagreement is the share of all words that the two captions do not have in common.",),
    "point": (
        f"{_MATCHED['point']}; {_PAIRING}",
        "Disagreement is the share of marks without a partner, a pair counted as one.",
    ),
    "detect": (
        f"{_MATCHED['detect']}; {_PAIRING}",
        "Disagreement is the share of marks without a partner, a pair counted as one.",
    ),
    "segment": (
        "IoU is the area that both outlines cover, as a share of the area that either covers.",
        "Disagreement is 1 less the IoU; 1 if only one side has an outline.",
    ),
    "gaze": (
        "Distances are measured on the image, as a share of its diagonal.",
        "Disagreement is the distance of the two targets; 1 if only one side has a target.",
    ),
}
NO_TRUTH = "Agreement says nothing about who is right: both may be wrong in the same way."
MATRIX = {
    "query": "How often which answers met",
    "point": "How often which numbers of points met",
    "detect": "How often which numbers of boxes met",
    "segment": "How often each side drew an outline",
    "gaze": "How often each side named a target",
}
HISTOGRAM = {
    "query": "Share of words in common, by number of images",
    "caption": "Share of words in common, by number of images",
    "point": "Points of the second less those of the first, by number of images",
    "detect": "Boxes of the second less those of the first, by number of images",
    "segment": "IoU of the outlines, by number of images",
    "gaze": "Distance of the targets, by number of images",
}


def summary(skill: str, agreeing: int, compared: int, failed: int, waiting: int) -> str:
    """`Same answer on 12 of 20 images.`, and how many images are not in it."""
    said = (
        [f"{AGREEMENT[skill]} on {agreeing} of {counted(compared, 'image')}."] if compared else [NOTHING_YET]
    )
    if failed:
        said.append(f"{counted(failed, 'image')} could not be compared.")
    if waiting:
        said.append(f"{counted(waiting, 'image')} still to come.")
    return " ".join(said)


def progress(state: str, done: int, total: int) -> str:
    """How far a batch is."""
    ahead = f"{done} of {counted(total, 'image')}"
    return {
        "queued": f"Waiting to begin, {counted(total, 'image')}",
        "running": f"{ahead} compared so far",
        "done": f"{counted(total, 'image')} compared",
        "stopped": f"Cancelled after {ahead}",
        "interrupted": f"Interrupted after {ahead}; it can be continued",
        "failed": f"The history could not be written after {ahead}; it can be continued",
    }[state]


def several_values(shown: int) -> str:
    """What the last row and column of a matrix hold."""
    return f"The {shown} most frequent are shown; all others are together, so their meeting is no agreement."


def met(count: int, left: str, right: str, names: Sequence[str]) -> str:
    """One cell of a matrix."""
    return f"{counted(count, 'image')}: {names[0]} says {left}, {names[1]} says {right}"


def bar(count: int, label: str) -> str:
    """One bar of a histogram."""
    return f"{label}: {counted(count, 'image')}"


def marks(count: int | None) -> str:
    """What a side found."""
    return MISSING if count is None else counted(count, "mark")


def disagreement(value: float | None) -> str:
    """For the list of images."""
    return "not compared" if value is None else f"disagreement {value:.2f}"
