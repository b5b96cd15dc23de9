"""The places of a run: what can be matched with the places of another run on the same image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dreamscope.engine import wire
from dreamscope.visualizers.asked import Asked
from dreamscope.visualizers.marks import GAZE, MASK
from dreamscope.visualizers.record import Part, Record


@dataclass(frozen=True, slots=True)
class Place:
    """Something a run put into the image, fractions.

    `ground` is the `data-ground` that its mark has on the page; `kind` box, point, span (one point of a
    grounded span), gaze or mask; `label` the object that its part asked for; `words` the text of its span.
    `box` and `path` are there for boxes and outlines; `x`, `y` is the point, or the middle of the box.
    """

    ground: str
    kind: str
    label: str
    x: float
    y: float
    box: wire.Box | None = None
    path: str = ""
    words: str = ""


def places_of(record: Record) -> tuple[Place, ...]:
    """All places of a run in the order in which it made them; an outline counts once it has a path."""
    return tuple(place for index, part in enumerate(record.parts) for place in _of_part(index, part))


def label_of(part: Part) -> str:
    """The name of what a part looks for, as it is compared: case and outer spaces do not count."""
    return (part.create.object or "").strip().casefold()


def _of_part(index: int, part: Part) -> Iterator[Place]:
    prefix, label = Asked(part=index).prefix, label_of(part)
    match part.result:
        case wire.QueryResult(reasoning=known) | wire.ChatResult(reasoning=known) if known is not None:
            for span, ground in enumerate(known.grounding):
                said = known.text[ground.start_idx : ground.end_idx].strip()
                for x, y in ground.points:
                    yield Place(f"{prefix}g{span}", "span", label, x, y, words=said)
        case wire.PointResult(points=points):
            for nth, point in enumerate(points):
                yield Place(f"{prefix}p{nth}", "point", label, point.x, point.y)
        case wire.DetectResult(objects=boxes):
            for nth, box in enumerate(boxes):
                yield Place(f"{prefix}b{nth}", "box", label, *_middle(box), box)
        case wire.SegmentResult(path=path, bbox=wire.Box() as box) if path:
            yield Place(f"{prefix}{MASK}", "mask", label, *_middle(box), box, path)
        case wire.GazeResult(gaze=wire.Point() as target):
            yield Place(f"{prefix}{GAZE}", "gaze", label, target.x, target.y)


def _middle(box: wire.Box) -> tuple[float, float]:
    return (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2
