"""Which places of a run hit what is known to be in its image, which hit nothing, and what was missed.

A box, and of an outline its box, hits a box of truth at an IoU of `IOU` or more. A point hits a box of
truth that it lies in, or a point of truth at most `DISTANCE` of the image's diagonal away. Each place hits
one thing at most and each thing is hit once, so that as many as possible are hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.engine.wire import Box
from dreamscope.visualizers.matching import Matched, match_boxes, match_targets
from dreamscope.visualizers.places import Place, label_of, places_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.truth import Known, TruthError

SKILLS = ("point", "detect", "segment")
"""Skills whose runs can be held against truth."""


@dataclass(frozen=True, slots=True)
class Hit:
    """`place` hits the thing `known`, an index; `value` is their IoU, or how far the point lies from the
    point of truth or the middle of its box, as a share of the image's diagonal.
    """

    place: Place
    known: int
    value: float


@dataclass(frozen=True, slots=True)
class Hits:
    """A run against its truth; `wrong` are the places that hit nothing, `missed` indices of `truth`."""

    truth: tuple[Known, ...]
    hits: tuple[Hit, ...]
    wrong: tuple[Place, ...]
    missed: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """For scripts: marks by their `data-ground`, things by their index in `places`."""
        return {
            "places": [{"at": list(known.at), "label": known.label} for known in self.truth],
            "hit": [
                {"ground": hit.place.ground, "place": hit.known, measure_of(hit.place): hit.value}
                for hit in self.hits
            ],
            "wrong": [place.ground for place in self.wrong],
            "missed": list(self.missed),
        }


def measure_of(place: Place) -> str:
    """What says how well a place hits: `iou` of boxes, `distance` of points."""
    return "distance" if place.box is None else "iou"


def hits_of(record: Record) -> Hits | None:
    """The run against its truth; `None` if nobody has said what is true."""
    if record.truth is None or record.picture is None or record.skill not in SKILLS:
        return None
    places, several = places_of(record), len(record.parts) > 1
    hits: list[Hit] = []
    for label in dict.fromkeys(label_of(part) for part in record.parts):
        mine = [place for place in places if place.label == label]
        known = [n for n, one in enumerate(record.truth) if not several or one.label.casefold() == label]
        found = _matched(mine, [record.truth[n] for n in known], record.picture.size)
        hits += [Hit(mine[pair.left], known[pair.right], pair.value) for pair in found.pairs]
    good, met = {hit.place.ground for hit in hits}, {hit.known for hit in hits}
    wrong = tuple(place for place in places if place.ground not in good)
    missed = tuple(n for n in range(len(record.truth)) if n not in met)
    return Hits(record.truth, tuple(hits), wrong, missed)


def fitting(truth: Sequence[Known], record: Record) -> tuple[Known, ...]:
    """Of `truth` what the run was asked for. Raises `TruthError` if it cannot be held against this run."""
    if record.skill not in SKILLS or record.picture is None:
        raise TruthError(f"Truth can be given for runs of {', '.join(SKILLS)} on an image.")
    if record.state in ("queued", "running"):
        raise TruthError("Truth can be given once the run has ended.")
    if record.skill != "point" and any(known.box is None for known in truth):
        raise TruthError("What this run found are boxes; truth for it must be boxes, not points.")
    asked = {label_of(part) for part in record.parts}
    if len(asked) > 1 and any(not known.label for known in truth):
        raise TruthError(f"Each place of truth must be named, as one of {', '.join(sorted(asked))}.")
    kept = tuple(known for known in truth if not known.label or known.label.casefold() in asked)
    if truth and not kept:
        names = ", ".join(sorted({known.label for known in truth})[:5])
        raise TruthError(
            f"The truth names {names:.200}; this run looked for {', '.join(sorted(asked)):.200}."
        )
    return kept


def _matched(places: Sequence[Place], truth: Sequence[Known], size: tuple[int, int]) -> Matched:
    boxes = [place.box for place in places if place.box is not None]
    if boxes:
        return match_boxes(boxes, [known.box or _empty(known) for known in truth])
    middles = [known.middle for known in truth]
    return match_targets([(p.x, p.y) for p in places], middles, [known.box for known in truth], size)


def _empty(known: Known) -> Box:
    """A point as a box, which no other overlaps."""
    x, y = known.middle
    return Box(x, y, x, y)
