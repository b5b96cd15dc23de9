"""What two steps in flight are worth: the parts of a step each by itself, prediction, and measurement.

The parts come from an engine whose runner finishes every call before it returns, so that nothing overlaps:

    f, s, c        forward, sampling, copy to the host      what the device takes, one step after the other
    w              what a step takes longer                 when the device has waited for it
    bl, bm, bc, bd plan and launch, mask, commit, delivery  what the host does (all of it: what is left of the
                                                            period when f, s, c and w are taken off)

f is that of forwards in a row, f + s that of whole steps in a row: now and then a step is repeated, which
makes nonsense of the answers, but leaves their lengths. From w is taken off what waiting for a device takes
that has nothing to do: the probe waits once more in a step than an engine does.

From them `engine/runtime/cost_model.py` predicts the time from step to step at depth 1 and 2. Both are
measured with the same requests on one engine, round by round in turn; every figure is the median over rounds.

    hidden = 1 - (period at depth 2 - f - s) / (bl + bm + bc + bd)      1: the host costs nothing
    z      = share of the decoded rows that had ended, times what a row adds to a step, of the step

The first table decodes answers that end by their length. The second asks questions that end by themselves,
whose last step at depth 2 is wasted, at both depths and with the engine choosing, compared round by round.
`--simulated` does the same on a simulated device in real time, whose forward and sampling take what
sim_rows.py gives for each card: the host is real, the device is not, and its split of the times is this
project's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

from report import load_average
from serving import Case, Clients, Look, looks, median, open_engine, parser_of, publish
from sim_rows import ROWS
from subject import Subject, open_subject

from dreamscope.engine.devices.runner import Limits, ModelRunner
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.devices.sim import Costs, SimRunner, WallClock
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.registry import DEFAULT_MODEL, find_model
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.runtime.cost_model import StepTimes
from dreamscope.engine.runtime.engine import EngineOptions
from dreamscope.engine.runtime.options import DepthChoice
from dreamscope.engine.runtime.sim_model import Babbler, SimModel
from dreamscope.engine.runtime.telemetry import StepRecord
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.known import config_of

STREAMS = (1, 4, 8, 32)
TOKENS = 110
"""Of an answer that ends by its length: so many have the published ones."""
OFTEN = {True: 4, False: 20}
"""Rounds of the second table for one of the first, by whether the model reasons: they are short, as the speed
of a machine changes, and without reasoning they are shorter.
"""
SHORT = 8
"""So many times the rounds of the first table for one stream: they are short, and a real device uneven."""
EVERY, REPEATS = 10, 8
"""One step in so many is repeated so often."""
DEPTHS: tuple[DepthChoice, ...] = (1, 2, "auto")
Build = Callable[[Limits], ModelRunner]


@dataclass(slots=True)
class Device:
    """Milliseconds of a step on a device that has waited for it; `again`: of such steps in a row."""

    f: float
    s: float = 0.0
    c: float = 0.0
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Milliseconds of steps in a row, and of waiting for a device that has nothing to do: what the probe adds
    to a forward that has the device to itself.
    """

    f: float
    s: float
    nothing: float


class Serial:
    """A runner that finishes every call before it returns, and takes the time of it."""

    def __init__(self, runner: ModelRunner, repeats: bool = True) -> None:
        """`repeats`: whether one step in `EVERY` is repeated, for the time of steps in a row."""
        self.steps: list[Device] = []
        self._runner = runner
        self._repeats = repeats
        self._queue: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def prefill(self, *step: Any) -> None:
        """Read prompts."""
        self._forward(partial(self._runner.prefill, *step))

    def decode(self, *step: Any) -> None:
        """Feed rows."""
        self._forward(partial(self._runner.decode, *step))

    def sample(self, *step: Any) -> Any:
        """Choose, and copy."""
        now = self.steps[-1]
        event = self._runner.sample(*step)
        queued = time.monotonic()
        event.wait()
        ended, ready = time.monotonic(), event.ready_at()
        now.s, now.c = (ready - queued) * 1000, (ended - ready) * 1000
        if self._repeats and len(self.steps) % EVERY == 0:
            nothing = self._until_done(lambda: None)
            f = self._in_a_row(self._queue)
            both = self._in_a_row(lambda: (self._queue(), self._runner.sample(*step)))
            now.again = Again(f, both - f, nothing)
        return event

    def _forward(self, queue: Callable[[], None]) -> None:
        self._queue = queue
        queue()
        self.steps.append(Device(self._until_done(lambda: None)))

    def _in_a_row(self, queue: Callable[[], Any]) -> float:
        """One of several calls: what the others take longer than the first."""
        one = self._until_done(queue)
        return (self._until_done(lambda: [queue() for _ in range(REPEATS)]) - one) / (REPEATS - 1)

    def _until_done(self, queue: Callable[[], Any]) -> float:
        begun = time.monotonic()
        queue()
        self._runner.fence()
        return (time.monotonic() - begun) * 1000


def parts(records: Sequence[StepRecord], device: Sequence[Device]) -> StepTimes:
    """Medians over the decode steps of a run in which nothing overlaps; `device` ends with its steps."""
    steps = list(zip(records, device[-len(records) :], strict=True))
    found = []
    for (before, _), (now, took) in pairwise(steps):
        if before.kind == now.kind == "decode" and took.again is None:
            bl, bm, bc = _ms(now.launch) - took.f, _ms(now.mask) - took.s - took.c, _ms(now.commit)
            rest = (now.commit[1] - before.commit[1]) * 1000 - took.f - took.s - took.c - bl - bm - bc
            found.append((took.f, took.s, took.c, bl, bm, bc, rest))
    f, s, c, bl, bm, bc, bd = (median(column) for column in zip(*found, strict=True))
    again = [took.again for record, took in steps if record.kind == "decode" and took.again is not None]
    if not again:
        return StepTimes(f, s, c, bl, bm, bc, bd)
    f_in_a_row, s_in_a_row = median(one.f for one in again), median(one.s for one in again)
    waited = f + s - median(one.nothing for one in again)
    return StepTimes(f_in_a_row, s_in_a_row, c, bl, bm, bc, bd, max(0.0, waited - f_in_a_row - s_in_a_row))


def period(records: Sequence[StepRecord]) -> float:
    """Milliseconds from commit to commit of decode steps with the same rows."""
    pairs = pairwise(records)
    return median(
        (b.commit[1] - a.commit[1]) * 1000
        for a, b in pairs
        if a.kind == b.kind == "decode" and a.requests == b.requests
    )


class Bench:
    """One engine that runs as it should, and one in which nothing overlaps, for so many streams."""

    def __init__(self, subject: Subject, build: Build, streams: int, stack: ExitStack) -> None:
        options = EngineOptions(max_batch=streams, prefill_burst=None, max_queue=4 * streams)
        self._serial: list[Serial] = []
        self._engines = [
            stack.enter_context(open_engine(subject, options, make))
            for make in (build, lambda limits: self._probe(build(limits)))
        ]
        self._clients = [Clients(engine) for engine in self._engines]
        self._streams = streams
        self._asked = 0

    def _probe(self, runner: ModelRunner) -> Any:
        self._serial.append(Serial(runner, repeats=not isinstance(runner, SimRunner)))
        return self._serial[-1]

    def parts(self, seen: Sequence[Look], tokens: int) -> StepTimes:
        """The parts of a step."""
        _, records = self._run(1, seen, True, tokens, 1)
        return parts(records, self._serial[0].steps)

    def at(
        self, depth: DepthChoice, seen: Sequence[Look], reasoning: bool, tokens: int | None, turns: int = 1
    ) -> tuple[float, list[StepRecord]]:
        """Milliseconds of `turns` times as many requests as there are streams, and the steps.

        One turn comes before, uncounted: nobody can choose a depth before anything was seen.
        """
        self._engines[0].set_depth(depth)
        self._run(0, seen, reasoning, tokens, 1)
        return self._run(0, seen, reasoning, tokens, turns)

    def _run(
        self, which: int, seen: Sequence[Look], reasoning: bool, tokens: int | None, turns: int
    ) -> tuple[float, list[StepRecord]]:
        engine, clients = self._engines[which], self._clients[which]
        since = engine.steps()[-1].index if engine.steps() else -1
        begun = time.monotonic()
        for _ in range(turns):
            names = [f"{self._asked + stream}" for stream in range(self._streams)]
            self._asked += self._streams
            pairs = zip(names, range(self._streams), strict=True)
            clients.ask([seen[i % len(seen)].ask(name, i, reasoning, tokens) for name, i in pairs])
        return (time.monotonic() - begun) * 1000, engine.steps(since)


def by_length(bench: Bench, streams: int, rounds: int, seen: Sequence[Look], tokens: int) -> Case:
    """Prediction beside measurement."""
    names = StepTimes._fields
    samples: dict[str, list[float]] = {name: [] for name in (*names, "T1", "T2", "wall1", "wall2")}
    for number in range(rounds + 1):
        times = bench.parts(seen, tokens)
        for depth in (1, 2):
            wall, records = bench.at(depth, seen, True, tokens)
            if number:
                samples[f"T{depth}"].append(period(records))
                samples[f"wall{depth}"].append(wall)
        if number:
            for name in names:
                samples[name].append(getattr(times, name))
    each = [StepTimes(*row) for row in zip(*(samples[name] for name in names), strict=True)]
    measured = median(one / two for one, two in zip(samples["T1"], samples["T2"], strict=True))
    predicted = median(1 + one.gain for one in each)
    exposed = [(two - one.f - one.s) / one.book for one, two in zip(each, samples["T2"], strict=True)]
    figures = {name: median(samples[name]) for name in names}
    figures |= {
        "T1 predicted": median(one.blocking for one in each),
        "T1": median(samples["T1"]),
        "T2 predicted": median(one.pipelined for one in each),
        "T2": median(samples["T2"]),
        "speedup predicted": predicted,
        "speedup": measured,
        "difference %": 100 * (predicted / measured - 1),
        "hidden %": 100 * (1 - max(0.0, median(exposed))),
    }
    return Case({"streams": streams}, figures, samples)


def by_itself(
    bench: Bench, streams: int, rounds: int, turns: int, seen: Sequence[Look], reasoning: bool
) -> Case:
    """Both depths and the choice of the engine, over answers whose end nobody knows before."""
    walls: dict[DepthChoice, list[float]] = {depth: [] for depth in DEPTHS}
    rows: list[float] = []
    zombies: list[float] = []
    chosen: list[float] = []
    for number in range(rounds + 1):
        for depth in DEPTHS[number % 3 :] + DEPTHS[: number % 3]:
            wall, records = bench.at(depth, seen, reasoning, None, turns)
            if number:
                walls[depth].append(wall / turns)
            if number and depth == 2:
                decoded = [record for record in records if record.kind == "decode"]
                rows.append(sum(len(record.requests) for record in decoded) / (turns * streams))
                zombies.append(sum(record.zombies for record in decoded) / (turns * streams))
            if number and depth == "auto":
                chosen.append(sum(record.depth == 2 for record in records) / len(records))
    one, two, auto = (median(walls[depth]) for depth in DEPTHS)
    better = walls[1 if one < two else 2]
    over = (ours / theirs for ours, theirs in zip(walls["auto"], better, strict=True))
    figures = {
        "L": median(rows) - median(zombies),
        "zombie rows %": 100 * median(zombies) / max(median(rows), 1e-9),
        "depth 1, ms": one,
        "depth 2, ms": two,
        "auto, ms": auto,
        "auto at depth 2, %": 100 * median(chosen),
        "auto over the better, %": 100 * (median(over) - 1),
    }
    name = {"answers": "reasoning" if reasoning else "direct", "streams": streams}
    return Case(name, figures, {f"depth {depth}": wall for depth, wall in walls.items()})


@contextmanager
def endless(subject: Subject) -> Iterator[None]:
    """Answers of a real model do not end by themselves in here."""
    model = subject.model
    if isinstance(model, SimModel):
        yield
        return
    bias, end = model.weights.text.lm_head.bias, model.config.tokenizer.eos_id
    before = float(bias[end])
    bias[end] = -1e9
    try:
        yield
    finally:
        bias[end] = before


def simulated(card: str, name: str) -> tuple[Subject, Build]:
    """A device in real time with the times of a card."""
    spec, times = find_model(name), ROWS[card]
    model = SimModel(config_of(spec), Tokenizer.load(locate(spec).tokenizer))
    costs = Costs(lambda kind, rows, tokens: times.f, lambda rows: times.s, times.c)

    def build(limits: Limits) -> SimRunner:
        return SimRunner(limits, Babbler(vocab=model.config.text.vocab_size, stop=0.0), WallClock(), costs)

    return Subject(model, f"history machine, {card}", 1, load_average()), build  # type: ignore[arg-type]


def measure(subject: Subject, build: Build, options: argparse.Namespace) -> tuple[list[Case], list[Case]]:
    """Both tables."""
    quick = options.quick
    rounds, tokens = (1, 8) if quick else (options.rounds, TOKENS)
    streams = options.streams or ((1, 2) if quick else STREAMS)
    settable = isinstance(subject.model, SimModel)
    first, second = [], []
    for number in streams:
        seen = list(islice(looks(number), min(number, 8)))
        with ExitStack() as stack:
            bench = Bench(subject, build, number, stack)
            with endless(subject):
                often = rounds if quick or settable else max(1, SHORT // number) * rounds
                first.append(by_length(bench, number, often, seen, tokens))
            if not settable:
                turns = 1 if quick else max(2, 4 // number)
                for kind in (False, True):
                    often = 1 if quick else OFTEN[kind] * rounds
                    second.append(by_itself(bench, number, often, turns, seen, kind))
    return first, second


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and store as `pipeline-NAME.jsonl`."""
    parser = parser_of(__doc__ or "", rounds=7)
    parser.add_argument("--simulated", choices=tuple(ROWS), help="a simulated device in place of a real one")
    options = parser.parse_args(argv)
    try:
        if options.simulated:
            subject, build = simulated(options.simulated, options.model or DEFAULT_MODEL)
        else:
            subject = open_subject(options)
            build = partial(build_runner, subject.model)
        first, second = measure(subject, build, options)
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    publish("pipeline, answers that end by their length", subject.describe(), first, options.json)
    if second:
        path = options.json and options.json.with_name(f"{options.json.stem}-ends.jsonl")
        publish("pipeline, answers that end by themselves", subject.describe(), second, path)
    return 0


def _ms(span: tuple[float, float]) -> float:
    return (span[1] - span[0]) * 1000


if __name__ == "__main__":
    sys.exit(main())
