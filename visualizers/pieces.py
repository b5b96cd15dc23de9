"""A change of the page as it is sent; what it means is in `fragment.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from dreamscope.engine import wire
from dreamscope.visualizers.prose import Prose


@dataclass(frozen=True, slots=True)
class Fragment:
    """One change of the page: what to do (`op`) with `html` in `slot`; `key` names the child for `put`."""

    slot: str
    op: str
    html: str = ""
    key: str = ""

    def to_json(self) -> dict[str, str]:
        """The contract with the page; see `fragment.py`."""
        return asdict(self)


def merged(fragments: Iterable[Fragment]) -> list[Fragment]:
    """The same changes in fewer pieces: neighbouring appends to a slot are joined, of neighbouring puts under
    one key only the last is kept.
    """
    out: list[Fragment] = []
    for fragment in fragments:
        last = out[-1] if out else None
        if last is None or (last.slot, last.op, last.key) != (fragment.slot, fragment.op, fragment.key):
            out.append(fragment)
        elif fragment.op == "append":
            out[-1] = replace(last, html=last.html + fragment.html)
        elif fragment.op == "put":
            out[-1] = fragment
        else:
            out.append(fragment)
    return out


def added(prose: Prose, event: wire.TextDelta | wire.ReasoningDelta, slot: str) -> Fragment | None:
    """Add what `event` brings to `prose`: the piece to append. `None` if the slot must be written anew, since
    the event tells of words shown before: a token that they belong to, or that no tokens are known any more.
    """
    start, covered = len(prose.text), prose.covered
    waiting = bool(prose.text[covered:].strip())
    prose.add(event.delta, event.probs)
    if prose.covered < covered or (waiting and prose.covered > covered):
        return None
    return Fragment(slot, "append", prose.html(start))
