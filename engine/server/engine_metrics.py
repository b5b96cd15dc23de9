"""The counters, gauges and histograms of the loaded engines, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dreamscope.engine.runtime.metrics import BOUNDS, Counters
from dreamscope.engine.runtime.metrics import Histogram as Durations
from dreamscope.engine.runtime.telemetry import Gauges
from dreamscope.engine.server.prometheus import Metric, Sample
from dreamscope.engine.server.serving import Serving
from dreamscope.engine.server.traces import Traced

_KINDS = ("prefill", "decode")
_STATES = ("starting", "ready", "paused", "draining", "dead", "stopped")
_HISTOGRAMS = {
    "launch": "Host time to plan and launch a step.",
    "mask": "Host time to build the mask of a step and queue its sampling.",
    "commit": "Host time to apply what a step has sampled.",
    "device": "Device time of a step, from forward to copy.",
    "idle": "Time that the device had nothing to do before a step, while there was work.",
    "queue": "Time that requests waited for their prefill.",
    "ttft": "Time from submission to the first token.",
    "request": "Time from submission to the end.",
}
_GAUGES = {
    "depth": "Steps that may be in flight.",
    "in_flight": "Steps in flight.",
    "running": "Requests that hold a row.",
    "waiting": "Requests that wait for a row.",
    "images_cached": "Images whose encoding is kept.",
    "adapters_used": "Adapter slots that are taken.",
}
_COUNTERS = {
    "zombie_rows": "Rows of steps whose request had ended.",
    "image_hits": "Images that were found encoded.",
    "image_misses": "Images that had to be encoded.",
    "timeouts": "Requests that ran into their deadline.",
}
_PAGES = ("free", "cached", "private", "reclaimable")


def engine_metrics(servings: Iterable[Serving]) -> tuple[Metric, ...]:
    """Everything that the engines keep, labelled with their model. Times in seconds."""
    watched = [(each.model.id, each.engine) for each in servings if isinstance(each.engine, Traced)]
    counters = [(model, engine.counters()) for model, engine in watched]
    gauges = [(model, engine.gauges()) for model, engine in watched]
    states = [(model, engine.health().state) for model, engine in watched]
    return (*_counts(counters), *_durations(counters), *_levels(gauges), _states(states))


def _counts(all_counters: list[tuple[str, Counters]]) -> Iterator[Metric]:
    def by_kind(name: str, text: str, of: Callable[[Counters], dict[str, int]]) -> Metric:
        samples = (
            Sample(of(counters)[kind], {"model": model, "kind": kind})
            for model, counters in all_counters
            for kind in _KINDS
        )
        return Metric(f"dreamscope_engine_{name}_total", text, "counter", tuple(samples))

    yield by_kind("steps", "Steps that were committed, by kind.", lambda counters: counters.steps)
    yield by_kind("rows", "Rows of those steps, zombies included.", lambda counters: counters.rows)
    for name, text in _COUNTERS.items():
        samples = (Sample(getattr(counters, name), {"model": model}) for model, counters in all_counters)
        yield Metric(f"dreamscope_engine_{name}_total", text, "counter", tuple(samples))


def _durations(all_counters: list[tuple[str, Counters]]) -> Iterator[Metric]:
    for name, text in _HISTOGRAMS.items():
        samples = (
            sample
            for model, counters in all_counters
            for sample in _buckets(getattr(counters, name), {"model": model})
        )
        yield Metric(f"dreamscope_engine_{name}_seconds", text, "histogram", tuple(samples))


def _buckets(durations: Durations, labels: dict[str, str]) -> Iterator[Sample]:
    below = 0
    for bound, count in zip((*BOUNDS, float("inf")), durations.counts, strict=True):
        below += count
        end = "+Inf" if bound == float("inf") else f"{bound / 1000:.12g}"
        yield Sample(below, {**labels, "le": end}, "_bucket")
    yield Sample(durations.total / 1000, labels, "_sum")
    yield Sample(below, labels, "_count")


def _levels(all_gauges: list[tuple[str, Gauges]]) -> Iterator[Metric]:
    for name, text in _GAUGES.items():
        samples = (Sample(getattr(gauges, name), {"model": model}) for model, gauges in all_gauges)
        yield Metric(f"dreamscope_engine_{name}", text, "gauge", tuple(samples))
    pages = (
        Sample(getattr(gauges, f"pages_{state}"), {"model": model, "state": state})
        for model, gauges in all_gauges
        for state in _PAGES
    )
    yield Metric("dreamscope_engine_pages", "Positions of the KV cache, by state.", "gauge", tuple(pages))
    for name, text, field in (
        ("evictions", "Positions that were taken from the prefix cache.", "evictions"),
        ("prefix_hit_positions", "Prompt positions that were found in the cache.", "hit_positions"),
        ("prompt_positions", "Prompt positions of all requests.", "prompt_positions"),
    ):
        samples = (Sample(getattr(gauges, field), {"model": model}) for model, gauges in all_gauges)
        yield Metric(f"dreamscope_engine_{name}_total", text, "counter", tuple(samples))


def _states(all_states: Iterable[tuple[str, str]]) -> Metric:
    samples = (
        Sample(float(state == now), {"model": model, "state": state})
        for model, now in all_states
        for state in _STATES
    )
    return Metric(
        "dreamscope_engine_state", "1 for the state that the engine is in.", "gauge", tuple(samples)
    )
