"""What two steps in flight are worth, on the simulated device: its clock is virtual and its times are given.

Two devices are simulated. Published for them are a gain of 35 % (B200) and 12 % (RTX 3090, observed 11.6 %)
at 32 streams, about 4 ms per step on the B200, about 1 % waste at about 110 tokens per answer, and less than
0.05 ms of idle device per step. **How a step divides into forward, sampling, copy and host work is not
published: the split here is this project's, chosen to fit.** So these rows show that the scheduler does what
the formulas say, not what a GPU does; nobody has run it on one.

Per step: answers that end by their length, 32 or 1 at a time, the period between two steps at depth 1 over
that at depth 2. One stream: answers of exactly L decode steps that end by themselves, tokens per second.
Predictions are those of `engine/runtime/cost_model.py`. A mask upload that blocks the host waits for the
forward before it: the rows show how long it may take until nothing is left of the gain.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from report import Series, build_report, finish, load_average

from dreamscope.engine.devices.runner import Element, Limits, Rule
from dreamscope.engine.devices.sim import Costs, SimRunner, VirtualClock
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime import sequence as life
from dreamscope.engine.runtime.cost_model import FixedDepth, StepTimes, speedup
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.simulation import ScriptedSkill, SimulatedHost

HOST = {"c": 0.2, "bl": 0.6, "bm": 0.25, "bc": 0.6}
ROWS = {"B200-like": StepTimes(f=3.3, s=0.7, **HOST), "3090-like": StepTimes(f=10.9, s=1.1, **HOST)}
STREAMS = 32
ANSWER_STEPS = (110, 30, 3)
UPLOADS = (0.1, 0.7, 1.4)
SWEEP = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 252.0)
"""Device milliseconds per step."""


class Run:
    """A scheduler at one depth on a simulated device with the times of `times`."""

    def __init__(self, times: StepTimes, depth: int, streams: int, upload: float | None = None) -> None:
        limits = Limits(streams, streams + 2, 256, 32, 256 * (streams + 2))
        clock = VirtualClock()
        costs = Costs(lambda kind, rows, tokens: times.f, lambda rows: times.s, times.c)
        machine = HistoryMachine(stop=0.0)
        self.clock = clock
        self.runner = SimRunner(limits, machine, clock, costs, blocking_upload=upload, log=[])
        host = SimulatedHost(clock, times.bl, times.bm, times.bc)
        self.scheduler = Scheduler(
            self.runner, lambda updates: None, clock.now, depth=FixedDepth(depth), trace=host
        )

    def period(self, streams: int, tokens: int = 60) -> float:
        """Milliseconds between two steps while all streams decode."""
        requests = [request(f"{name}", tokens + 2 * streams + 20, None) for name in range(streams)]
        for one in requests:
            self.scheduler.submit(one)
        first = requests[0]
        while self.scheduler.has_work():
            self.scheduler.tick()
        moments = first.times.tokens[-tokens - 10 : -10]  # everybody decodes; the ends are not in it
        return (moments[-1] - moments[0]) / (len(moments) - 1) * 1000

    def rate(self, steps: int, answers: int = 8) -> float:
        """Tokens per second of one stream whose answers end by themselves after so many decode steps.

        The next request comes when the one before has its answer. Counted from the first answer to the last.
        """
        ends: list[float] = []
        for number in range(answers):
            one = request(f"{number}", 250, steps)
            self.scheduler.submit(one)
            while not one.finished:
                self.scheduler.tick()
            ends.append(self.clock.now())
        return (answers - 1) * (steps + 1) / (ends[-1] - ends[0])

    def idle(self) -> float:
        """Milliseconds that the device has waited per step, in the second half of what it did."""
        work = [op for op in self.runner.log or () if op.stream == "compute"]
        work = work[len(work) // 2 :]
        gaps = sum(after.start - before.end for before, after in pairwise(work))
        return gaps / (len(work) / 2) * 1000


def request(name: str, tokens: int, steps: int | None) -> life.Sequence:
    """A request that ends by itself after `steps` decode steps, or by its length."""

    def script(said: list[Element]) -> Iterator[Rule]:
        while steps is None or len(said) <= steps:
            yield Rule()

    return life.Sequence(name, (0, 8, 9), ScriptedSkill(script), tokens)


def gain(times: StepTimes, streams: int, upload: float | None = None) -> float:
    """Percent by which the period shrinks from depth 1 to depth 2."""
    blocking = Run(times, 1, streams).period(streams)
    return round(100 * (blocking / Run(times, 2, streams, upload).period(streams) - 1), 6)


def rows(times: StepTimes) -> list[Series]:
    """Everything about one device."""
    at_depth_2 = Run(times, 2, STREAMS)
    pipelined = at_depth_2.period(STREAMS)
    series = [
        Series("step, depth 1", "ms", [Run(times, 1, STREAMS).period(STREAMS)]),
        Series("step, depth 1, predicted", "ms", [times.blocking]),
        Series("step, depth 2", "ms", [pipelined]),
        Series("step, depth 2, predicted", "ms", [times.pipelined]),
        Series("device idle per step, depth 2", "ms", [at_depth_2.idle()]),
        Series(f"gain per step, {STREAMS} streams", "%", [gain(times, STREAMS)]),
        Series(f"gain per step, {STREAMS} streams, predicted", "%", [100 * times.gain]),
    ]
    series += [
        Series(f"gain if a mask upload of {ms:g} ms blocks", "%", [gain(times, STREAMS, ms)])
        for ms in UPLOADS
    ]
    for steps in ANSWER_STEPS:
        faster = Run(times, 2, 1).rate(steps) / Run(times, 1, 1).rate(steps)
        expected = speedup(times, steps + 1)  # the prefill is a step like any other here
        series += [
            Series(f"gain of one stream, L = {steps}", "%", [100 * (faster - 1)]),
            Series(f"gain of one stream, L = {steps}, predicted", "%", [100 * (expected - 1)]),
        ]
    return series


def sweep() -> list[Series]:
    """The gain per step over the speed of the device; host times as above."""
    device = {total: StepTimes(f=total * 0.85, s=total * 0.15, **HOST) for total in SWEEP}
    return [Series(f"gain at {total:g} ms on the device", "%", [gain(t, 4)]) for total, t in device.items()]


def subject(name: str) -> dict[str, Any]:
    """What was simulated."""
    return {
        "model": "history machine",
        "dtype": "no floats",
        "device": f"a simulated device, {name}",
        "threads": 1,
        "load_before": load_average(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate and report."""
    parser = argparse.ArgumentParser(description="Depth 1 against depth 2 on the simulated device.")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the JSON of each table goes")
    options = parser.parse_args(argv)
    tables = [(name, vars_of(times), rows(times)) for name, times in ROWS.items()]
    tables.append(("sweep", {**HOST, "streams": 4}, sweep()))
    for name, settings, series in tables:
        report = build_report("sim_rows", subject(name), settings, series)
        report["notes"] = ["Simulated: no GPU was involved. The split of the step times is this project's."]
        path = None if options.output is None else options.output / f"sim_rows_{name.lower()}.json"
        finish(report, path)
    return 0


def vars_of(times: StepTimes) -> dict[str, float]:
    """The given times in milliseconds."""
    return times._asdict()


if __name__ == "__main__":
    sys.exit(main())
