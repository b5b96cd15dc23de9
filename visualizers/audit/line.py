"""What the checks of a run come to, in a line or two below its answer, wherever the run is shown.

p.verdict-line[data-verdict=look|fine]
    [data-lights="g0 g1"]       the marks and words of its evidence, lit while it is pointed at
    span.check-text             the sentence of the check
    span.check-evidence         only with `buttons`, then without `data-lights`: see `evidence_html.py`
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.visualizers.audit import captions, counting, outside, phrases, told
from dreamscope.visualizers.audit.check import Check
from dreamscope.visualizers.audit.evidence_html import evidence_buttons
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.record import Record

MOST_LOOKS = 2
_REASSURING = (counting.ID, told.ID, phrases.ID, outside.ID, captions.ID)
"""Checks worth a line where they are fine, the most telling first."""


def lines(record: Record, checks: Sequence[Check], *, buttons: bool = False) -> str:
    """What wants a look, at most two of them; else the most telling check that is fine; else, and before the
    run has ended, nothing.
    """
    if record.state in ("queued", "running"):
        return ""
    looks = [check for check in checks if check.verdict == "look"]
    fine = [check for name in _REASSURING for check in checks if check.id == name and check.verdict == "fine"]
    chosen = looks[:MOST_LOOKS] or fine[:1]
    return "".join(_line(record, check, buttons) for check in chosen)


def sentence(record: Record, check: Check) -> str:
    """What the check says; in a run of several objects after the name of the one it is about."""
    name = record.parts[check.part].name if len(record.parts) > 1 else ""
    return f"{name}: {check.text}" if name else check.text


def _line(record: Record, check: Check, buttons: bool) -> str:
    grounds = " ".join(dict.fromkeys(one.ground for one in check.evidence if one.ground))
    lights = f' data-lights="{escape(grounds)}"' if grounds and not buttons else ""
    return (
        f'<p class="verdict-line" data-verdict="{check.verdict}"{lights}>'
        f'<span class="check-text">{escape(sentence(record, check))}</span>'
        f"{evidence_buttons(check) if buttons else ''}</p>"
    )
