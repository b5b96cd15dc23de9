"""How many questions a second, and how long each takes, against one after the other on the sequential engine.

Two questions about each drawn scene, back to back, all submitted at once, answered greedily:

    direct      about 3 tokens, 10 at most
    reasoning   about 30 tokens, 512 at most

`batch` is how many the engine decodes together. Latencies are those of prefill and decode; the time in the
queue stands beside them, for it says how many were submitted and not how fast they were served. Every round
has new scenes; where they are `seen`, both engines have answered something else about each of them before the
clock starts. The sequential engine answers the same requests in the same run, round by round in turn.
Processor time is that of all threads, per request: on a busy machine it says more than the clock.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from serving import Case, Clients, known, looks, median, open_engine, parser_of, publish, quantile
from subject import Subject, count, open_subject

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.runtime.engine import EngineOptions, EngineRequest
from dreamscope.engine.runtime.sequential import SequentialEngine

BATCHES = (1, 4, 16, 64)
TOGETHER = 32
"""So many at once are compared with one after the other, about images that were read before."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one case asks."""

    reasoning: bool
    batch: int
    requests: int
    seen: bool

    def rounds(self, count: int) -> Iterator[tuple[list[EngineRequest], list[EngineRequest]]]:
        """What is asked before the clock starts, and after, of each round."""
        drawn = looks(self.batch)
        for number in range(count):
            scenes = list(islice(drawn, (self.requests + 1) // 2))
            asked = [scenes[i // 2].ask(f"{number}.{i}", i, self.reasoning) for i in range(self.requests)]
            seen = [look.glance(f"{number} {place}") for place, look in enumerate(scenes)]
            yield seen if self.seen else [], asked


def measure(subject: Subject, work: Work, rounds: int) -> Case:
    """Both engines, in turn."""
    samples: dict[str, list[float]] = {
        "engine s": [],
        "sequential s": [],
        "engine cpu": [],
        "sequential cpu": [],
    }
    costs: list[wire.Metrics] = []
    plain = SequentialEngine(subject.model)
    options = EngineOptions(max_batch=work.batch, max_queue=work.requests)
    with open_engine(subject, options) as engine:
        clients = Clients(engine)
        for number, (before, requests) in enumerate(work.rounds(rounds + 1)):
            clients.ask(before)
            for request in before:
                plain.ask(request)
            begun, cpu = time.perf_counter(), time.process_time()
            answers = clients.ask(requests)
            middle, cpu_between = time.perf_counter(), time.process_time()
            for request in requests:
                plain.ask(request)
            ended, cpu_after = time.perf_counter(), time.process_time()
            if number == 0:  # passes are traced, memory is touched
                continue
            costs += answers
            samples["engine s"].append(middle - begun)
            samples["sequential s"].append(ended - middle)
            samples["engine cpu"].append((cpu_between - cpu) * 1000 / work.requests)
            samples["sequential cpu"].append((cpu_after - cpu_between) * 1000 / work.requests)
    pairs = list(zip(samples["engine s"], samples["sequential s"], strict=True))
    served = [known(cost.prefill_time_ms) + known(cost.decode_time_ms) for cost in costs]
    samples |= {"served ms": served, "queue ms": [known(cost.queue_time_ms) for cost in costs]}
    figures = {
        "tokens out": round(median(cost.output_tokens for cost in costs), 1),
        "cached %": 100 * sum(c.cached_tokens for c in costs) / sum(c.input_tokens for c in costs),
        "req/s": median(work.requests / engine for engine, _ in pairs),
        "P50 ms": quantile(served, 0.5),
        "P90 ms": quantile(served, 0.9),
        "P95 ms": quantile(served, 0.95),
        "queue P50 ms": quantile(samples["queue ms"], 0.5),
        "sequential req/s": median(work.requests / plain for _, plain in pairs),
        "times sequential": median(plain / engine for engine, plain in pairs),
        "CPU ms": median(samples["engine cpu"]),
        "sequential CPU ms": median(samples["sequential cpu"]),
    }
    name = {
        "answers": "reasoning" if work.reasoning else "direct",
        "images": "seen" if work.seen else "new",
        "batch": work.batch,
        "requests": work.requests,
    }
    return Case(name, figures, samples)


def works(options: argparse.Namespace) -> list[Work]:
    """The cases."""
    if options.quick:
        return [Work(False, 4, 4, seen=False), Work(True, 4, 4, seen=True)]
    both = (False, True)
    batches = options.streams or BATCHES
    new = [Work(kind, batch, options.requests, seen=False) for kind in both for batch in batches]
    return [*new, *(Work(kind, TOGETHER, TOGETHER, seen=True) for kind in both)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and store."""
    parser = parser_of(__doc__ or "", rounds=5)
    parser.add_argument("--requests", type=count, default=64, metavar="N", help="in a round (%(default)s)")
    options = parser.parse_args(argv)
    try:
        subject = open_subject(options)
        cases = [measure(subject, work, 1 if options.quick else options.rounds) for work in works(options)]
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    publish("throughput", subject.describe(), cases, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
