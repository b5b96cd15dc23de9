"""A run in time: what changed on the page when, so that it can be played again as it was.

    played = timeline(record)
    played.frames      # ((0.0, (Fragment, ...)), (84.2, (Fragment, ...)), ...): milliseconds, changes
    played.still[0]    # {"answer": html, "marks": svg, ...}: how part 0 looked in the end

Times are those of the events, in milliseconds since the request was accepted; all parts of a run are sent at
once, so their times are laid over each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.fragment import DISPLAY_WIDTH, Fragment, Fragments, merged
from dreamscope.visualizers.record import Part, Record

Frame = tuple[float, tuple[Fragment, ...]]


@dataclass(frozen=True, slots=True)
class Timeline:
    """`view_box` is for the svg of the marks; `duration_ms` the time of the last frame."""

    view_box: str
    duration_ms: float
    frames: tuple[Frame, ...]
    still: tuple[dict[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """What `static/replay.js` plays."""
        frames = [[round(at, 1), [change.to_json() for change in changes]] for at, changes in self.frames]
        return {"view_box": self.view_box, "duration_ms": round(self.duration_ms, 1), "frames": frames}


def timeline(record: Record, display_width: float = DISPLAY_WIDTH, only: int | None = None) -> Timeline:
    """The whole run, or the part `only`; `display_width` as for `Fragments`.

    Raises `IndexError` for a part that is not there, `WireError` if an event does not fit the skill.
    """
    chosen = range(len(record.parts)) if only is None else (range(len(record.parts))[only],)
    size = record.picture.size if record.picture else None
    played = [_Played(record.parts[nth], _stream(record, nth, size, display_width)) for nth in chosen]
    # Python's sort keeps what happened at the same time in the order of the parts and their events.
    timed = sorted((frame for one in played for frame in one.frames()), key=lambda frame: frame[0])
    frames = tuple(
        (at, tuple(merged(change for _, changes in group for change in changes)))
        for at, group in groupby(timed, key=lambda frame: frame[0])
    )
    view_box = _stream(record, 0, size, display_width).view_box
    return Timeline(view_box, frames[-1][0] if frames else 0.0, frames, tuple(one.still for one in played))


def _stream(record: Record, nth: int, size: tuple[int, int] | None, width: float) -> Fragments:
    asked = record.asked[nth]
    return Fragments(
        size,
        record.skill,
        asked.name,
        asked.family,
        width,
        eye=asked.eye,
        face=asked.face,
        format=asked.format,
        part=nth,
    )


class _Played:
    """One part, fed once."""

    def __init__(self, part: Part, stream: Fragments) -> None:
        self._part, self._stream = part, stream
        self._reasoning_time = ""

    def frames(self) -> Iterator[Frame]:
        """What each event changes; a part that never ended says so in a last change."""
        started = 0.0
        for event in self._part.events:
            changes = self._stream.feed(event)
            if isinstance(event, wire.RequestStarted):
                started = event.t
            if isinstance(event, wire.ReasoningDone):
                self._reasoning_time = f"{(event.t - started) / 1000:.1f} s"
                changes.append(Fragment("reasoning_time", "replace", self._reasoning_time))
            yield event.t, tuple(changes)
        if self._part.state == "interrupted":
            last = self._part.events[-1].t if self._part.events else 0.0
            yield last, tuple(self._stream.interrupted())

    @property
    def still(self) -> dict[str, str]:
        """The slots as they are now."""
        slots = {change.slot: change.html for change in self._stream.everything()}
        return {**slots, "reasoning_time": self._reasoning_time}
