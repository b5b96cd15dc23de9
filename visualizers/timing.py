"""How long a run took, apart from what it waited for: a model being loaded, and other requests.

    accepted ── waited ──▶ begun ── first token ──▶ ── tokens ──▶ end
                           └───────────── total ───────────────┘

The engine counts its times from acceptance; here they count from when it began, so that columns which share a
machine can be compared. A run of several parts waited until the first of them began; what its other parts
waited for was work of the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dreamscope.engine.wire import Metrics


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds; `None` where nothing was measured."""

    waited_ms: float | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None


def timing_of(measured: Sequence[Metrics]) -> Timing:
    """The timing of the parts of one run that were measured."""
    waits = [metrics.queue_time_ms for metrics in measured if metrics.queue_time_ms is not None]
    firsts = [metrics.ttft_ms for metrics in measured if metrics.ttft_ms is not None]
    totals = [metrics.total_time_ms for metrics in measured if metrics.total_time_ms is not None]
    waited, first, total = min(waits, default=None), min(firsts, default=None), max(totals, default=None)
    return Timing(waited, _since(waited, first), _since(waited, total))


def _since(waited: float | None, moment: float | None) -> float | None:
    """Clocks of remote endpoints may round: a moment is never before the beginning."""
    return None if moment is None else max(moment - (waited or 0.0), 0.0)
