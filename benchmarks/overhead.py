"""What the scheduler itself costs: host time per decode step, with a device that takes none.

The simulated device computes its tokens in the calls of the runner; that time is taken off. What is left is
the work of the engine thread for a step: batch, masks, commit, and a skill of a few lines. Turning tokens
into text, and events, are not in it. Each sample is one tick in steady decode. The budget is 1 ms per step at
32 rows, of which half is for the commit.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from report import Series, build_report, finish, load_average

from dreamscope.engine.devices.runner import Limits
from dreamscope.engine.devices.sim import SimRunner, VirtualClock
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime import sequence as life
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import Step
from dreamscope.engine.runtime.simulation import ScriptedSkill, text
from dreamscope.engine.runtime.trace import Action

ROWS = (1, 8, 32, 64)
BUDGET_ROWS, BUDGET_MS = 32, 1.0


class Stopwatch:
    """Seconds spent in the runner and in the parts of a tick; wraps a runner and watches a scheduler."""

    def __init__(self) -> None:
        self.runner = 0.0
        self.parts: dict[str, float] = {}
        self._begun = 0.0

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, timed."""

        def timed(*args: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*args)
            finally:
                self.runner += time.perf_counter() - begun

        return timed

    def begin(self, action: Action, step: Step) -> None:
        """A part begins."""
        self._begun = time.perf_counter() - self.runner

    def end(self, action: Action, step: Step) -> None:
        """A part ends; the runner's share is not counted."""
        self.parts[action] = time.perf_counter() - self.runner - self._begun


def measure(rows: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds of `steps` ticks in which `rows` rows decode: in all, and by part."""
    watch, clock = Stopwatch(), VirtualClock()
    budget = steps + 4 * rows + 20
    limits = Limits(rows, rows + 2, budget + 8, 32, (budget + 8) * (rows + 2))
    runner = SimRunner(limits, HistoryMachine(stop=0.0), clock)
    for name in ("set_pages", "set_mask", "prefill", "decode", "sample", "land", "read"):
        setattr(runner, name, watch.wrap(getattr(runner, name)))
    scheduler = Scheduler(runner, lambda updates: None, clock.now, trace=watch, max_queue=rows)
    for index in range(rows):
        scheduler.submit(life.Sequence(f"{index}", (0, 8, 9), ScriptedSkill(text), budget))
    while len(scheduler.requests.running) < rows or scheduler.requests.admission.waiting:
        scheduler.tick()
    for _ in range(10):
        scheduler.tick()
    samples: dict[str, list[float]] = {"step": [], "commit": [], "mask": [], "launch": []}
    gc.collect()
    for _ in range(steps):
        watch.runner, begun = 0.0, time.perf_counter()
        scheduler.tick()
        samples["step"].append((time.perf_counter() - begun - watch.runner) * 1000)
        for part in ("commit", "mask", "launch"):
            samples[part].append(watch.parts[part] * 1000)
    return samples


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="Host time of the scheduler per decode step.")
    parser.add_argument("--steps", type=int, default=300, help="ticks per batch size (default 300)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    options = parser.parse_args(argv)
    if options.steps < 1:
        parser.error(f"--steps is at least 1, not {options.steps}")
    load, series = load_average(), []
    for rows in ROWS:
        measured = measure(rows, options.steps)
        series += [Series(f"{part}, {rows} rows", "ms", samples) for part, samples in measured.items()]
    subject = {
        "model": "history machine, its time taken off",
        "dtype": "no floats",
        "device": "the host beside a simulated device",
        "threads": 1,
        "load_before": load,
    }
    settings = {"steps": options.steps, "budget_ms_per_step": BUDGET_MS, "budget_rows": BUDGET_ROWS}
    finish(build_report("overhead", subject, settings, series), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
