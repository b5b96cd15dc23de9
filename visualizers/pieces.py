"""A change of the page as it is sent; what it means is in `fragment.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.progress import Progress
from dreamscope.visualizers.prose import Prose


@dataclass(frozen=True, slots=True)
class Fragment:
    """One change of the page: what to do (`op`) with `html` in `slot`; `key` names the child for `put`,
    `part` the request of a run of several, from 0.
    """

    slot: str
    op: str
    html: str = ""
    key: str = ""
    part: int = 0

    def to_json(self) -> dict[str, Any]:
        """The contract with the page; see `fragment.py`."""
        written = {"slot": self.slot, "op": self.op, "html": self.html, "key": self.key}
        return {**written, "part": self.part} if self.part else written

    @property
    def place(self) -> tuple[int, str, str, str]:
        """What two changes share if they happen in the same way at the same place."""
        return self.part, self.slot, self.op, self.key


def merged(fragments: Iterable[Fragment]) -> list[Fragment]:
    """The same changes in fewer pieces: neighbouring appends to a slot are joined, of neighbouring puts under
    one key only the last is kept.
    """
    out: list[Fragment] = []
    for fragment in fragments:
        last = out[-1] if out else None
        if last is None or last.place != fragment.place:
            out.append(fragment)
        elif fragment.op == "append":
            out[-1] = replace(last, html=last.html + fragment.html)
        elif fragment.op == "put":
            out[-1] = fragment
        else:
            out.append(fragment)
    return out


def added(
    progress: Progress, prose: Prose, event: wire.TextDelta | wire.ReasoningDelta, slot: str
) -> Fragment | None:
    """Feed `event` to `progress`: the piece to append for what it brings to `prose`.

    `None` if the slot must be written anew, since the event tells of words shown before: a token that they
    belong to, or that no tokens are known any more.
    """
    start, covered = len(prose.text), prose.covered
    waiting = bool(prose.text[covered:].strip())
    progress.feed(event)
    if prose.covered < covered or (waiting and prose.covered > covered):
        return None
    return Fragment(slot, "append", prose.html(start))
