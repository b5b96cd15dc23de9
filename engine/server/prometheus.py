"""Metrics as Prometheus reads them: the text exposition format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: the value under these labels; `suffix` is `_bucket`, `_sum` or `_count` of a histogram."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A name with its help, type and samples."""

    name: str
    help: str
    type: Literal["counter", "gauge", "histogram"]
    samples: tuple[Sample, ...]


@dataclass(slots=True)
class Histogram:
    """Counts observations below rising bounds; the unit is the caller's."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count `value`."""
        index = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[index] += 1
        self.total += value

    def samples(self, labels: Mapping[str, str]) -> Iterable[Sample]:
        """The cumulative buckets, sum and count."""
        below = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            below += count
            yield Sample(below, {**labels, "le": _number(bound)}, "_bucket")
        yield Sample(self.total, labels, "_sum")
        yield Sample(below, labels, "_count")


def render(metrics: Iterable[Metric]) -> str:
    """The page. Metrics without samples are left out."""
    return "".join(_lines(metric) for metric in metrics if metric.samples)


def _lines(metric: Metric) -> str:
    head = f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n"
    return head + "".join(
        f"{metric.name}{sample.suffix}{_labels(sample.labels)} {_number(sample.value)}\n"
        for sample in metric.samples
    )


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:.12g}"
