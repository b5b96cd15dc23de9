"""What the server has done since it started, counted from the events of its requests and from its answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from dreamscope.engine import wire
from dreamscope.engine.server.adapter_choice import split_name
from dreamscope.engine.server.prometheus import Histogram, Metric, Sample

FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
PER_TOKEN = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REFUSED = ("", "")  # skill and model of what was never accepted


class Tally:
    """Only the event loop touches it. Times in seconds."""

    def __init__(self) -> None:
        self._accepted: dict[str, tuple[str, str]] = {}
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._tokens: Counter[str] = Counter()
        self._answers: Counter[int] = Counter()
        self._first: dict[str, Histogram] = defaultdict(lambda: Histogram(FIRST_TOKEN))
        self._each: dict[str, Histogram] = defaultdict(lambda: Histogram(PER_TOKEN))

    def answered(self, status: int) -> None:
        """An HTTP answer has begun."""
        self._answers[status] += 1

    def feed(self, event: wire.Message) -> None:
        """An event of a request."""
        if isinstance(event, wire.RequestAccepted):
            self._accepted[event.request_id] = (event.skill, split_name(event.model)[0] or "")
        elif isinstance(event, wire.TERMINAL):
            skill, model = self._accepted.pop(event.request_id, REFUSED)
            self._requests[skill, model, _outcome(event)] += 1
            if not isinstance(event, wire.RequestFailed):
                self._count(event.metrics, model)

    def metrics(self) -> tuple[Metric, ...]:
        """Everything counted."""
        requests = (
            Sample(count, {"skill": skill, "model": model, "outcome": outcome})
            for (skill, model, outcome), count in sorted(self._requests.items())
        )
        tokens = (Sample(count, {"kind": kind}) for kind, count in sorted(self._tokens.items()))
        answers = (Sample(count, {"status": str(status)}) for status, count in sorted(self._answers.items()))
        return (
            _counter("requests", "Requests that have ended, by skill, model and outcome.", requests),
            _counter("tokens", "Tokens of requests that were not refused, by kind.", tokens),
            _counter("http_answers", "HTTP answers by status.", answers),
            _histogram("first_token_seconds", "From acceptance to the first token.", self._first),
            _histogram("per_token_seconds", "Mean time per decoded token of a request.", self._each),
        )

    def _count(self, metrics: wire.Metrics, model: str) -> None:
        for kind in ("input", "output", "reasoning", "cached"):
            self._tokens[kind] += getattr(metrics, f"{kind}_tokens")
        if metrics.ttft_ms is not None:
            self._first[model].observe(metrics.ttft_ms / 1000)
        if metrics.decode_time_ms is not None and metrics.output_tokens > 1:
            steps = metrics.output_tokens - 1  # the first token is not part of that time
            self._each[model].observe(metrics.decode_time_ms / 1000 / steps)


def _outcome(event: wire.Message) -> str:
    match event:
        case wire.RequestFailed(error=error):
            return error.code
        case wire.RequestCancelled():
            return "cancelled"
    return "done"


def _counter(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    return Metric(f"dreamscope_{name}_total", text, "counter", tuple(samples))


def _histogram(name: str, text: str, by_model: dict[str, Histogram]) -> Metric:
    samples = (s for model in sorted(by_model) for s in by_model[model].samples({"model": model}))
    return Metric(f"dreamscope_{name}", text, "histogram", tuple(samples))
