"""One run of a page: its image with marks, and its words, in the markup that `static/stream.js` fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dreamscope.visualizers import facts, words
from dreamscope.visualizers.audit.checks import audit
from dreamscope.visualizers.audit.line import lines
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.geometry import VIEW_WIDTH
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.timeline import Timeline
from dreamscope.visualizers.truth_html import Told, told

GONE = "The image is not kept any more."


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of a page. `heading` names what it gives, such as "Answer".

    `source` is where its image is, a data URI or an address, empty if it is gone; `timeline` the address of
    its timeline, empty to embed it; `detected` are the detect runs that its audit compares with.
    """

    record: Record
    heading: str
    source: str = ""
    timeline: str = ""
    detected: tuple[Record, ...] = ()


def parts_of(record: Record) -> list[dict[str, str]]:
    """Name and colours of each object; none for a run of one part."""
    if len(record.parts) == 1:
        return []
    tints = [(asked.name, colour(asked.family)) for asked in record.asked]
    return [{"name": name, "colour": tint.fill, "halo": tint.halo} for name, tint in tints]


def article(one: Shown, played: Timeline, width: float, title: str, name: str = "") -> str:
    """The `article.column` of one run, whose image is taken to be `width` CSS pixels wide; what was asked is
    said unless it is the page's `title`. `name` tells it from the columns beside it.
    """
    record = one.record
    slots, truth = _slots(record, played), told(record, width)
    asked = facts.question(record)
    question = f'<p class="shared-question">{escape(asked)}</p>' if asked != title else ""
    head = f'<h2 class="shared-name">{escape(name)}</h2>' if name else ""
    address = f' data-timeline="{escape(one.timeline)}"' if one.timeline else ""
    parts = " has-parts" if len(record.parts) > 1 else ""
    return (
        f'<article class="column{parts}" data-phase="image" data-run="{escape(record.state)}"{address}>'
        f"{head}{_plate(one, slots['marks'], played.view_box, width, truth.layer if truth else '')}"
        f'<div class="stream">{question}'
        '<p class="run-status"><i class="dot" aria-hidden="true"></i>'
        f'<span data-slot="status">{slots["status"]}</span></p>'
        f'<details class="reasoning" open{"" if slots["reasoning"] else " hidden"}>'
        "<summary><span>Reasoning</span>"
        f'<output data-slot="reasoning_time">{slots["reasoning_time"]}</output></summary>'
        f'<div class="prose" data-slot="reasoning">{slots["reasoning"]}</div></details>'
        f'<div class="result"><h2 data-slot="title">{escape(one.heading)}</h2>'
        f'<div class="answer" data-slot="answer">{slots["answer"]}</div>'
        f'<ul class="list" data-slot="list">{slots["list"]}</ul>{_truth(truth)}</div>'
        f'<div class="verdict">{lines(record, audit(record, one.detected))}</div>'
        f'<div class="metrics" data-slot="metrics">{slots["metrics"]}</div>'
        f"{_facts(record)}</div></article>"
    )


def _slots(record: Record, played: Timeline) -> Mapping[str, str]:
    """The shared slots; with several parts they hold a group of marks and a list entry for each."""
    if len(record.parts) == 1:
        return played.still[0]
    groups = (f'<g data-part="{nth}">{still["marks"]}</g>' for nth, still in enumerate(played.still))
    entries = (_part(part, played.still[nth], nth) for nth, part in enumerate(parts_of(record)))
    empty = dict.fromkeys(played.still[0], "")
    ended = sum(part.state not in ("queued", "running") for part in record.parts)
    status = words.PARTS_DONE.format(done=ended, count=len(record.parts))
    return {**empty, "marks": "".join(groups), "list": "".join(entries), "status": status}


def _part(part: Mapping[str, str], still: Mapping[str, str], nth: int) -> str:
    """The element that `static/parts.js` makes for an object."""
    name, tint = escape(part["name"]), f"--c:{part['colour']};--halo:{part['halo']}"
    return (
        f'<li class="part" data-part="{nth}" data-label="{name}" style="{tint}"><div class="part-head">'
        f'<i class="label-dot" aria-hidden="true"></i><b class="part-name">{name}</b>'
        f'<p class="part-answer">{still["answer"]}</p>'
        f'<span class="part-status">{still["status"]}</span></div>'
        f'<ul class="list" aria-label="{name}">{still["list"]}</ul>'
        f'<p class="part-metrics">{still["metrics"]}</p></li>'
    )


def _truth(truth: Told | None) -> str:
    """What people know to be in the image, and what the run made of it."""
    return f'{truth.line}<ul class="list truth-list">{truth.entries}</ul>' if truth else ""


def _plate(one: Shown, marks: str, view_box: str, width: float, truth: str) -> str:
    picture = one.record.picture
    if picture is None:
        return ""
    image = f'<p class="shared-gone">{GONE}</p>'
    if one.source:
        name = escape(facts.picture_name(one.record))
        size = f'width="{picture.width}" height="{picture.height}"'
        image = f'<img src="{escape(one.source)}" alt="{name}" {size}>'
    layer = truth and (
        f'<svg class="truth-layer" viewBox="{view_box}" role="group" aria-label="Truth"'
        f' style="--k:{VIEW_WIDTH / width:.3f}">{truth}</svg>'
    )
    return (
        f'<figure class="plate" style="--ratio:{picture.width / picture.height:.4f}">{image}'
        f'<svg class="marks" data-slot="marks" data-spread="on" viewBox="{view_box}" role="group"'
        f' aria-label="Marks on the image" style="--k:{VIEW_WIDTH / width:.3f}">{marks}</svg>{layer}</figure>'
    )


def _facts(record: Record) -> str:
    rows = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.facts(record)
    )
    return f'<dl class="shared-facts">{"".join(rows)}</dl>'
