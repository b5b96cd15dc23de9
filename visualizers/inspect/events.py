"""The event log of a run as HTML: what came when, and what it said.

section.events[data-run]
    div.event-filters                     a chip for each type that occurs
        button.event-filter[type=button][data-type][aria-pressed=true]   its text: type and count; the page
                                          toggles it and hides the rows of that type
    ol.event-list
        li.event[data-type][data-part]    in the order of their times
            span.event-t                  ms since the request was accepted
            span.event-gap                ms since the event before it of the same part
            span.event-type
            span.event-part               the name of the part; only if there are several
            code.event-body               the other fields as JSON; of long ones the beginning
    p.event-more                          how many are left out, if any; the raw JSON has them all
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from dreamscope.engine import wire
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.record import Record

MOST = 4000
LONGEST_BODY = 600
_SHOWN_APART = ("request_id", "t")


def render(record: Record) -> str:
    """The log; empty lists for a run that has no events."""
    rows = sorted(_rows(record), key=lambda row: (row[0], row[1]))
    types = Counter(kind for _, _, kind, _ in rows)
    chips = "".join(
        f'<button type="button" class="event-filter" data-type="{escape(kind)}" aria-pressed="true">'
        f"{escape(kind)} <span>{count}</span></button>"
        for kind, count in types.items()
    )
    shown = "".join(html for _, _, _, html in rows[:MOST])
    more = ""
    if len(rows) > MOST:
        more = f'<p class="event-more">{MOST} of {len(rows)} events; the raw JSON has them all.</p>'
    return (
        f'<section class="events" data-run="{escape(record.id)}"><div class="event-filters">{chips}</div>'
        f'<ol class="event-list">{shown}</ol>{more}</section>'
    )


def _rows(record: Record) -> Iterator[tuple[float, int, str, str]]:
    """Time, part, type and HTML of each event."""
    several = len(record.parts) > 1
    for number, part in enumerate(record.parts):
        before = 0.0
        for event in part.events:
            name = f'<span class="event-part">{escape(part.name)}</span> ' if several else ""
            kind = escape(event.wire_type)
            html = (
                f'<li class="event" data-type="{kind}" data-part="{number}">'
                f'<span class="event-t">{event.t:.1f}</span> '
                f'<span class="event-gap">+{event.t - before:.1f}</span> '
                f'<span class="event-type">{kind}</span> {name}'
                f'<code class="event-body">{_body(event)}</code></li>'
            )
            yield event.t, number, event.wire_type, html
            before = event.t


def _body(event: wire.RequestEvent) -> str:
    fields = {name: value for name, value in wire.to_json(event).items() if name not in _SHOWN_APART}
    text = json.dumps(fields, ensure_ascii=False)
    return escape(text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}…")
