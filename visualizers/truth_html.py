"""A run against its truth, as the page and shared pages show it: a sentence, a layer over the image, a list.

    p.truth-line[title]                  "Truth: 2 of 3 hit, 1 missed; 1 box hits nothing."
    g.truth-badge[data-ground=b0]        on a place of the run, `.hit` with a tick or `.wrong` with a cross
    g.mark.truth-missed[data-ground=t2]  what was missed, dashed
    li > button.entry[data-ground]       "Box 1 · hit, IoU 0.91", "Box 2 · hits nothing", "Missed · x 0.2 ..."

Places share their `data-ground` with the marks and the list of the run; things that are there are `t` and
their index. The layer is for an svg of the view box of the marks.
"""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.visualizers import compare_words, words
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import View, number
from dreamscope.visualizers.hits import Hit, Hits, hits_of
from dreamscope.visualizers.matching import DISTANCE, IOU
from dreamscope.visualizers.places import Place
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.truth import Known

DEFINITION = (
    f"A box hits at an IoU of {IOU:g} or more. A point hits inside a box, or at most {DISTANCE:.0%} of the "
    "image's diagonal from a point. Each place hits one thing, and each thing is hit once."
)
_KINDS = {"point": ("Point", "points"), "box": ("Box", "boxes"), "mask": ("Outline", "outlines")}
_GOOD, _BAD = "#1f7a4d", "#b3261e"
_TICK, _CROSS = "M-3.5 0.2 L-1 2.8 L3.6 -2.6", "M-2.8 -2.8 L2.8 2.8 M2.8 -2.8 L-2.8 2.8"


@dataclass(frozen=True, slots=True)
class Told:
    """The three pieces, escaped; `line` is one element, `layer` and `entries` are children."""

    line: str
    layer: str
    entries: str


def told(record: Record, width: float) -> Told | None:
    """A run against its truth, its image taken to be `width` CSS pixels wide; `None` without truth."""
    found = hits_of(record)
    if found is None or record.picture is None:
        return None
    view = View.shown(record.picture.size, width)
    badges = [_badge(hit.place, view, good=True) for hit in found.hits]
    badges += [_badge(place, view, good=False) for place in found.wrong]
    missed = [_missed(index, found.truth[index], view) for index in found.missed]
    line = f'<p class="truth-line" title="{escape(DEFINITION)}">{escape(sentence(found))}</p>'
    return Told(line, "".join([*missed, *badges]), _entries(found))


def sentence(found: Hits) -> str:
    """The counts, in one sentence."""
    count = len(found.truth)
    said = f"{len(found.hits)} of {count} hit, {len(found.missed)} missed" if count else "nothing is there"
    if not found.wrong:
        return f"Truth: {said}."
    kind, plural = _KINDS[found.wrong[0].kind]
    wrong = len(found.wrong)
    return f"Truth: {said}; {f'1 {kind.lower()} hits' if wrong == 1 else f'{wrong} {plural} hit'} nothing."


def _badge(place: Place, view: View, good: bool) -> str:
    """A tick or a cross beside a point, or in the corner of a box that its label leaves free."""
    x, y = view.point(place.x, place.y)
    dx, dy = 11, 11
    if place.box is not None:
        x, y = view.point(place.box.x_max, place.box.y_max)
        dx, dy = -12, -12
    kind, colour, sign = ("hit", _GOOD, _TICK) if good else ("wrong", _BAD, _CROSS)
    return (
        f'<g class="truth-badge {kind}" data-ground="{escape(place.ground)}"'
        f' transform="translate({number(x)} {number(y)})">'
        f'<g class="mark-shape" transform="scale({number(view.unit)})">'
        f'<circle cx="{dx}" cy="{dy}" r="8" fill="{colour}" stroke="#ffffff" stroke-width="1.5"/>'
        f'<path d="{sign}" transform="translate({dx} {dy})" fill="none" stroke="#ffffff" stroke-width="1.8"'
        ' stroke-linecap="round" stroke-linejoin="round"/></g></g>'
    )


def _missed(index: int, known: Known, view: View) -> str:
    name = f"<title>{escape(f'Missed: {_where(known)}')}</title>"
    head = f'<g class="mark truth-missed" data-ground="t{index}">{name}'
    if known.box is None:
        x, y = view.point(*known.middle)
        ring = (
            f'<circle r="10" fill="none" stroke="{colour}" stroke-width="{wide}"{dash}/>'
            for colour, wide, dash in _LINES
        )
        return (
            f'{head}<g transform="translate({number(x)} {number(y)})"><g class="mark-shape"'
            f' transform="scale({number(view.unit)})">{"".join(ring)}</g></g></g>'
        )
    area = view.box(known.box)
    sides = {"x": area.x, "y": area.y, "width": area.width, "height": area.height}
    size = " ".join(f'{name}="{number(value)}"' for name, value in sides.items())
    frames = (
        f'<rect {size} fill="none" stroke="{colour}" stroke-width="{wide}"{dash}'
        ' vector-effect="non-scaling-stroke"/>'
        for colour, wide, dash in _LINES
    )
    return f"{head}{''.join(frames)}</g>"


_LINES = (("#ffffff", 4, ""), (_BAD, 2, ' stroke-dasharray="6 4"'))


def _entries(found: Hits) -> str:
    """The places of the run in its order, then what was missed."""
    by_ground: dict[str, Hit | Place] = {place.ground: place for place in found.wrong}
    by_ground |= {hit.place.ground: hit for hit in found.hits}
    rows = [_entry(ground, by_ground[ground], found) for ground in sorted(by_ground, key=_order)]
    rows += [_row(f"t{n}", "wrong", f"Missed · {_where(found.truth[n])}") for n in found.missed]
    return "".join(rows)


def _entry(ground: str, what: Hit | Place, found: Hits) -> str:
    place = what.place if isinstance(what, Hit) else what
    kind, _ = _KINDS[place.kind]
    name = f"{kind} {_order(ground)[1] + 1}" + (f", {place.label}" if "." in ground else "")
    if isinstance(what, Place):
        return _row(ground, "wrong", f"{name} · hits nothing")
    return _row(ground, "hit", f"{name} · hit, {_measure(what, found.truth[what.known])}")


def _measure(hit: Hit, known: Known) -> str:
    if hit.place.box is not None:
        return compare_words.iou(hit.value)
    return "inside the box" if known.box else compare_words.apart(hit.value)


def _row(ground: str, kind: str, text: str) -> str:
    return (
        f'<li><button type="button" class="entry truth-entry {kind}" data-ground="{escape(ground)}">'
        f'<span class="entry-place">{escape(text)}</span></button></li>'
    )


def _order(ground: str) -> tuple[int, int]:
    """Part and number of a mark."""
    part, dot, own = ground.rpartition(".")
    return int(part) if dot else 0, int(own[1:])


def _where(known: Known) -> str:
    where = words.box_place(known.box) if known.box else words.point_place(*known.middle)
    return f"{known.label}, {where}" if known.label else where
