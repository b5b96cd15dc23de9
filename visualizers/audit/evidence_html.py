"""The button that lights one piece of evidence.

button.evidence[type=button]              one thing to look at; its text names it
    [data-ground]                         marks, words and list entries to light: `g0`, `p3`, `1.b2`
    [data-where][data-start][data-end]    code points of the text `prompt`, `reasoning` or `answer`
    [data-point="x,y"]                    a place, fractions of the image
    [data-box="x_min,y_min,x_max,y_max"]  a box, fractions; of another run (detect) if it has no ground
"""

from __future__ import annotations

from collections.abc import Iterable

from dreamscope.visualizers.audit.check import Check, Evidence
from dreamscope.visualizers.escape import escape


def evidence_buttons(check: Check) -> str:
    """`span.check-evidence` with a button for each piece; nothing if there is none."""
    buttons = " ".join(map(_button, check.evidence))
    return buttons and f' <span class="check-evidence">{buttons}</span>'


def _button(one: Evidence) -> str:
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


def _numbers(values: Iterable[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
