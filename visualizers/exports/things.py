"""What of a run goes into a file for other programs: its places, each with a label and its size in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.wire import Box
from dreamscope.visualizers.audit.nouns import noun_of
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.labels import LONGEST_LABEL, shorten
from dreamscope.visualizers.mask_overlap import corners_of
from dreamscope.visualizers.paths import Pair
from dreamscope.visualizers.places import Place, places_of
from dreamscope.visualizers.record import Picture, Record

LONGEST = 4 * LONGEST_LABEL


class ExportError(Exception):
    """The run cannot be written in this format; the text says why and what can."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A place with the label it goes by: what was asked for, or the noun of its span."""

    place: Place
    label: str
    part: int


def picture_of(record: Record) -> Picture:
    """The image of the run. Raises `ExportError` if there is none."""
    if record.picture is None:
        raise ExportError("This run has no image.")
    return record.picture


def things_of(record: Record) -> tuple[Thing, ...]:
    """Every place in the order in which the run made them.

    None at all is an answer of those skills that look for places; of others it raises `ExportError`.
    """
    found = []
    for place in places_of(record):
        first, dot, _ = place.ground.partition(".")
        part = int(first) if dot else 0
        found.append(Thing(place, _label(record, part, place), part))
    if not found and record.skill not in ("point", "detect", "segment", "gaze"):
        raise ExportError("This run marks no place in the image.")
    return tuple(found)


def places_in(record: Record) -> tuple[Picture, tuple[Thing, ...]]:
    """The image and the places in it. Raises `ExportError` if there is none, or the skill marks no place."""
    return picture_of(record), things_of(record)


def labels_of(record: Record, things: tuple[Thing, ...]) -> tuple[str, ...]:
    """The labels, those asked for first, found or not; their positions are the ids of classes."""
    asked = (_line(part.create.object) for part in record.parts if part.create.object)
    return tuple(dict.fromkeys([*filter(None, asked), *(thing.label for thing in things)]))


def polygons_of(place: Place, picture: Picture) -> list[list[Pair]]:
    """The closed outlines of a mask in pixels."""
    assert place.box is not None
    polygons = corners_of(place.path, place.box)
    return [[(x * picture.width, y * picture.height) for x, y in polygon] for polygon in polygons]


def pixel_box(box: Box, picture: Picture) -> tuple[float, float, float, float]:
    """Left, top, width and height in pixels."""
    left, top = box.x_min * picture.width, box.y_min * picture.height
    return left, top, (box.x_max - box.x_min) * picture.width, (box.y_max - box.y_min) * picture.height


def _label(record: Record, part: int, place: Place) -> str:
    return _line(record.parts[part].create.object or noun_of(place.words)) or place.kind


def _line(text: str) -> str:
    """One line without control characters."""
    return shorten(clean(text), LONGEST)
