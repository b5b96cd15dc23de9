"""What a request has cost, in the numbers a client gets, and the totals of an engine."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from dreamscope.engine import wire
from dreamscope.engine.errors import RequestTimeout
from dreamscope.engine.runtime.job import Job

BOUNDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
"""Upper ends of the buckets of every histogram, in milliseconds."""


@dataclass(slots=True)
class Histogram:
    """Durations in milliseconds: `counts[i]` of them are at most `BOUNDS[i]`, those above are the last."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, milliseconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, milliseconds)] += 1
        self.total += milliseconds


@dataclass(slots=True)
class Counters:
    """Totals since the start. Written by the engine thread; others may read them at any time."""

    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    timeouts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    image_hits: int = 0
    image_misses: int = 0
    steps: dict[str, int] = field(default_factory=lambda: {"prefill": 0, "decode": 0})
    rows: dict[str, int] = field(default_factory=lambda: {"prefill": 0, "decode": 0})
    zombie_rows: int = 0
    launch: Histogram = field(default_factory=Histogram)
    mask: Histogram = field(default_factory=Histogram)
    commit: Histogram = field(default_factory=Histogram)
    device: Histogram = field(default_factory=Histogram)
    idle: Histogram = field(default_factory=Histogram)
    """Of the device, while there was work for it."""
    queue: Histogram = field(default_factory=Histogram)
    ttft: Histogram = field(default_factory=Histogram)
    request: Histogram = field(default_factory=Histogram)

    def count(self, event: wire.RequestEvent, job: Job) -> None:
        """Account for a request by its terminal event."""
        self.output_tokens += job.skill.output_tokens
        self.input_tokens += job.input_tokens if job.started else 0
        self.cached_tokens += job.sequence.cached_tokens
        spans = job.sequence.times.milliseconds()
        self.queue.add(spans["queue"])
        self.request.add(spans["total"])
        if job.sequence.times.tokens:
            self.ttft.add(spans["ttft"])
        if isinstance(event, wire.RequestDone):
            self.completed += 1
        elif isinstance(event, wire.RequestCancelled):
            self.cancelled += 1
        else:
            self.failed += 1
            timeout = isinstance(event, wire.RequestFailed) and event.error.code == RequestTimeout.code
            self.timeouts += timeout


def metrics_of(job: Job, depth: int, device: str) -> wire.Metrics:
    """What a request that has ended has cost. Without a first token all work is prefill."""
    sequence = job.sequence
    times = sequence.times
    spans = {name: round(span, 3) for name, span in times.milliseconds().items()}
    gaps = times.gaps()
    return wire.Metrics(
        input_tokens=job.input_tokens,
        output_tokens=job.skill.output_tokens,
        reasoning_tokens=job.skill.reasoning_tokens,
        cached_tokens=sequence.cached_tokens,
        queue_time_ms=spans["queue"],
        preprocess_time_ms=job.preprocess_ms,
        image_time_ms=job.image_ms,
        prefill_time_ms=spans["prefill"],
        ttft_ms=spans["ttft"] if times.tokens else None,
        decode_time_ms=spans["decode"],
        total_time_ms=spans["total"],
        itl_p50_ms=_quantile(gaps, 0.5),
        itl_p95_ms=_quantile(gaps, 0.95),
        itl_max_ms=_quantile(gaps, 1.0),
        batch_mean=round(sequence.shared_steps / sequence.decode_steps, 2) if sequence.decode_steps else None,
        zombie_steps=sequence.zombie_steps,
        depth=depth,
        device=device,
    )


def _quantile(ascending: list[float], share: float) -> float | None:
    if not ascending:
        return None
    return round(ascending[min(int(share * len(ascending)), len(ascending) - 1)], 3)


def milliseconds(seconds: float) -> float:
    """Milliseconds to a microsecond."""
    return round(seconds * 1000, 3)
