"""The checks of a run as HTML, and a table of what its reasoning points at.

    section.audit[data-run]
        p.audit-summary[data-verdict]         how many checks there were, and how many want a look
        ul.audit-checks                       `look` first, then `unknown`, then what detect has settled
            li.check[data-check][data-verdict=fine|look|unknown][data-part]
                span.check-verdict            "Look", "Not known" or "Fine"
                span.check-text               the sentence
                span.check-evidence           buttons, see `evidence_html.py`; absent without evidence
                a.audit-run[data-run]         the detect run that settled it
        button.audit-detect[data-nouns]       only if detect runs would settle an unknown; the page posts to
                                              `/api/runs/{id}/audit/detect` and puts the answer's html here
        p.audit-uses                          of a detect run: links to the runs whose audits use its boxes
        details.audit-fine                    the other checks that are fine, in the same form
            summary                           how many
            ul.audit-checks
        table.audit-spans                     a row for each grounded span: tr[data-ground]; only with spans

`[data-check]` is one of `IDS` in `checks.py`. Every string of a user or a model is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamscope.visualizers import facts
from dreamscope.visualizers.audit import captions, outside
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Verdict, listed
from dreamscope.visualizers.audit.checks import nouns_to_detect, worst
from dreamscope.visualizers.audit.evidence_html import evidence_buttons
from dreamscope.visualizers.audit.line import sentence
from dreamscope.visualizers.audit.nouns import plural
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.words import point_place

DETECTABLE = (outside.ID, captions.ID)
"""Checks that a detect run settles."""
MOST_USES = 3
"""Runs that a detect run names as those whose audits use it."""
VERDICTS: dict[Verdict, str] = {"look": "Look", "unknown": "Not known", "fine": "Fine"}


def render(record: Record, checks: Sequence[Check], users: Sequence[Record] = ()) -> str:
    """The panel of `record`, whose `checks` come from `audit`; `users`: runs whose audits use its boxes."""
    open_ones = [one for verdict in ("look", "unknown") for one in checks if one.verdict == verdict]
    open_ones += [one for one in checks if one.verdict == "fine" and one.run]
    fine = [one for one in checks if one.verdict == "fine" and not one.run]
    body = [
        f'<p class="audit-summary" data-verdict="{worst(checks)}">{escape(summary(checks))}</p>',
        _list(record, open_ones),
        _detect_button(record, checks),
        uses(users),
    ]
    if fine:
        count = "1 check is fine" if len(fine) == 1 else f"{len(fine)} checks are fine"
        listed_ones = _list(record, fine)
        body.append(f'<details class="audit-fine"><summary>{count}</summary>{listed_ones}</details>')
    body.append(_spans(record))
    return f'<section class="audit" data-run="{escape(record.id)}">{"".join(body)}</section>'


def summary(checks: Sequence[Check]) -> str:
    """The outcome in one sentence."""
    if not checks:
        return "There is nothing to check in this run."
    look = sum(check.verdict == "look" for check in checks)
    unknown = sum(check.verdict == "unknown" for check in checks)
    ran = "1 check" if len(checks) == 1 else f"{len(checks)} checks"
    told = [f"{look} {'wants' if look == 1 else 'want'} a look"] if look else []
    told += [f"{unknown} not known"] if unknown else []
    return f"{ran}: {listed(told)}." if told else f"{ran}: nothing disagrees."


def uses(users: Sequence[Record]) -> str:
    """That the boxes of a detect run are what the audits of `users` compare with; nothing without any."""
    links = [_link(user.id, facts.question(user)) for user in users[:MOST_USES]]
    links += [f"{len(users) - MOST_USES} more"] if len(users) > MOST_USES else []
    said = f"Its boxes are evidence in the audit of {listed(links)}."
    return f'<p class="audit-uses">{said}</p>' if links else ""


def _list(record: Record, checks: Iterable[Check]) -> str:
    items = "".join(_item(record, check) for check in checks)
    return f'<ul class="audit-checks">{items}</ul>' if items else ""


def _item(record: Record, check: Check) -> str:
    link = f" {_link(check.run, 'Open the detect run')}" if check.run else ""
    return (
        f'<li class="check" data-check="{check.id}" data-verdict="{check.verdict}" data-part="{check.part}">'
        f'<span class="check-verdict">{VERDICTS[check.verdict]}</span> '
        f'<span class="check-text">{escape(sentence(record, check))}</span>'
        f"{evidence_buttons(check)}{link}</li>"
    )


def _link(run: str, text: str) -> str:
    name = escape(run)
    return f'<a class="audit-run" href="/?run={name}" data-run="{name}"><bdi>{escape(text)}</bdi></a>'


def _detect_button(record: Record, checks: Sequence[Check]) -> str:
    nouns = nouns_to_detect(record)
    if not nouns or not any(check.id in DETECTABLE and check.verdict == "unknown" for check in checks):
        return ""
    text = f"Run detect for {listed([plural(noun) for noun in nouns])}"
    data = escape(",".join(nouns))
    return f'<button type="button" class="audit-detect" data-nouns="{data}">{escape(text)}</button>'


def _spans(record: Record) -> str:
    """Every grounded span with its points."""
    rows = []
    for index, part in enumerate(record.parts):
        for nth, span in enumerate(Case(part, index, record.picture).spans):
            tint = colour(nth)
            places = "; ".join(point_place(dot.x, dot.y) for dot in span.dots) or "–"
            rows.append(
                f'<tr data-ground="{span.ground}" style="--c:{tint.fill};--halo:{tint.halo}">'
                f"<td>{nth + 1}</td><td>{escape(span.seen().label)}</td><td>{escape(places)}</td></tr>"
            )
    if not rows:
        return ""
    head = "<thead><tr><th>Span</th><th>Words</th><th>Points</th></tr></thead>"
    return f'<table class="audit-spans">{head}<tbody>{"".join(rows)}</tbody></table>'
