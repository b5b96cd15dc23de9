"""The checks of a run as HTML, and a table of what its reasoning points at.

    section.audit[data-run]
        p.audit-summary[data-verdict]         how many checks there were, and how many want a look
        ul.audit-checks                       `look` first, then `unknown`
            li.check[data-check][data-verdict=fine|look|unknown][data-part]
                span.check-verdict            "Look", "Not known" or "Fine"
                span.check-text               the sentence
                span.check-evidence           buttons, see below; absent without evidence
        button.audit-detect[data-nouns]       only if detect runs would settle an unknown; the page posts to
                                              `/api/runs/{id}/audit/detect` and puts the answer's html here
        details.audit-fine                    the checks that are fine, in the same form
            summary                           how many
            ul.audit-checks
        table.audit-spans                     a row for each grounded span: tr[data-ground]; only with spans

    button.evidence[type=button]              one thing to look at; its text names it
        [data-ground]                         marks, words and list entries to light: `g0`, `p3`, `1.b2`
        [data-where][data-start][data-end]    code points of the text `prompt`, `reasoning` or `answer`
        [data-point="x,y"]                    a place, fractions of the image
        [data-box="x_min,y_min,x_max,y_max"]  a box, fractions; of another run (detect) if it has no ground

`[data-check]` is one of `IDS` in `checks.py`. Every string of a user or a model is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamscope.visualizers.audit import outside
from dreamscope.visualizers.audit.case import Case
from dreamscope.visualizers.audit.check import Check, Evidence, Verdict, listed
from dreamscope.visualizers.audit.checks import nouns_to_detect, worst
from dreamscope.visualizers.audit.nouns import plural
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.palette import colour
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.words import point_place

VERDICTS: dict[Verdict, str] = {"look": "Look", "unknown": "Not known", "fine": "Fine"}


def render(record: Record, checks: Sequence[Check]) -> str:
    """The panel of `record`, whose `checks` come from `audit`."""
    open_ones = [one for verdict in ("look", "unknown") for one in checks if one.verdict == verdict]
    fine = [one for one in checks if one.verdict == "fine"]
    several = len(record.parts) > 1
    body = [
        f'<p class="audit-summary" data-verdict="{worst(checks)}">{escape(summary(checks))}</p>',
        _list(record, open_ones, several),
        _detect_button(record, checks),
    ]
    if fine:
        count = "1 check is fine" if len(fine) == 1 else f"{len(fine)} checks are fine"
        listed_ones = _list(record, fine, several)
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


def _list(record: Record, checks: Iterable[Check], several: bool) -> str:
    items = "".join(_item(record, check, several) for check in checks)
    return f'<ul class="audit-checks">{items}</ul>' if items else ""


def _item(record: Record, check: Check, several: bool) -> str:
    name = record.parts[check.part].name if several else ""
    text = f"{name}: {check.text}" if name else check.text
    buttons = " ".join(evidence_button(one) for one in check.evidence)
    return (
        f'<li class="check" data-check="{check.id}" data-verdict="{check.verdict}" data-part="{check.part}">'
        f'<span class="check-verdict">{VERDICTS[check.verdict]}</span> '
        f'<span class="check-text">{escape(text)}</span>'
        + (f' <span class="check-evidence">{buttons}</span>' if buttons else "")
        + "</li>"
    )


def evidence_button(one: Evidence) -> str:
    """The button that lights one piece of evidence."""
    data: dict[str, str] = {}
    if one.ground is not None:
        data["ground"] = one.ground
    if one.where is not None:
        data |= {"where": one.where, "start": str(one.start), "end": str(one.end)}
    if one.point is not None:
        data["point"] = _numbers(one.point)
    if one.box is not None:
        data["box"] = _numbers(one.box)
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return f'<button type="button" class="evidence"{attributes}>{escape(one.label)}</button>'


def _detect_button(record: Record, checks: Sequence[Check]) -> str:
    if not any(check.id == outside.ID and check.verdict == "unknown" for check in checks):
        return ""
    nouns = nouns_to_detect(record)
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


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
