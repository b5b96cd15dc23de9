"""How loading reports where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TextIO

GIB = 1 << 30
MIB = 1 << 20
STEP = 0.01
Stage = Literal["download", "memory", "read"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. `done` and `total` count bytes; `total` 0 means that the size is not known."""

    stage: Stage
    message: str
    done: int = 0
    total: int = 0


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""


def thinned(report: Report) -> Report:
    """Passes on reports with a new message or `STEP` more done, which leaves about a hundred per file."""
    last: tuple[str, float] | None = None

    def thinned(progress: Progress) -> None:
        nonlocal last
        done = progress.done / progress.total if progress.total else 0.0
        if last is None or progress.message != last[0] or done >= min(1.0, last[1] + STEP):
            last = (progress.message, done)
            report(progress)

    return thinned


def console(stream: TextIO) -> Report:
    """One line per message; on a terminal the line of a transfer counts up in place."""
    live = stream.isatty()
    current: str | None = None  # the message of a line that is still counting

    def report(progress: Progress) -> None:
        nonlocal current
        if progress.message == current:
            if not live:
                return
            stream.write("\r")
        elif current is not None and live:
            stream.write("\n")
        counting = 0 <= progress.done < progress.total
        share = f" {progress.done / progress.total:.0%} of {size(progress.total)}" if progress.total else ""
        stream.write(progress.message + (share if live else "") + ("" if live and counting else "\n"))
        stream.flush()
        current = progress.message if counting else None

    return report


def size(count: int) -> str:
    """Bytes for people: `3.6 GiB`."""
    if count >= GIB:
        return f"{count / GIB:.1f} GiB"
    return f"{max(count / MIB, 0.1):.1f} MiB"
