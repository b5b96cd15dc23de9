"""What MLX lets the host do while a decode step is computed.

The same rows and bookkeeping as in overlap_cpu.py, on the runner of `--device mlx`:

    step at depth 1, 2   time per step; depth 2 hands over the forward of the next step before the commit
    hidden               (step at depth 1 - step at depth 2) / bookkeeping      1: all of it, 0: nothing
    launch               how long the thread of the engine needs to note a forward and to hand it over
    handing over         the part of it within `async_eval`, which MLX makes wait while too much is under way
    lock free            how much of that time another Python thread can run: 0 if the lock is held, 1 if not

On a processor MLX allows so little to be under way that a launch takes about as long as the step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from overlap_cpu import Stream, bookkeeping
from report import Series, build_report
from subject import Subject, build_parser, count, run

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.devices.runner import Limits, ModelRunner
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.errors import DeviceUnavailable

QUANTITIES = (
    ("step at depth 1", "ms"),
    ("step at depth 2", "ms"),
    ("hidden", ""),
    ("launch", "ms"),
    ("handing over", "ms"),
    ("lock free", ""),
)


class Watched(Stream):
    """Keeps how long launches took, in milliseconds."""

    def __init__(self, runner: ModelRunner, rows: int, book: Callable[[], None]) -> None:
        self.launches: list[float] = []
        super().__init__(runner, rows, book)

    def _launch(self, slot: int) -> None:
        begun = time.perf_counter()
        super()._launch(slot)
        self.launches.append((time.perf_counter() - begun) * 1000)


class Beside:
    """A Python thread that counts as fast as it is let."""

    def __init__(self) -> None:
        self.turns = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            self.turns += 1

    def rate(self, seconds: float) -> float:
        """Turns per second while the calling thread wants nothing."""
        before, begun = self.turns, time.perf_counter()
        time.sleep(seconds)
        return (self.turns - before) / (time.perf_counter() - begun)

    def end(self) -> None:
        """Stop counting."""
        self._ended = True
        self._thread.join()


@contextmanager
def handing_over(device: Device, beside: Beside | None = None) -> Iterator[list[tuple[float, int]]]:
    """Milliseconds of every hand-over, and how far `beside` came meanwhile."""
    seen: list[tuple[float, int]] = []
    submit = device.submit

    def timed(*results: Array) -> None:
        turns, begun = beside.turns if beside else 0, time.perf_counter()
        submit(*results)
        seen.append(((time.perf_counter() - begun) * 1000, (beside.turns if beside else 0) - turns))

    device.submit = timed  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        del device.submit


def measure(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """All batches. Raises `DeviceUnavailable` on another device."""
    device = subject.model.device
    if not device.name.startswith("mlx"):
        raise DeviceUnavailable("This benchmark measures steps in MLX: --device mlx.", "device")
    book = bookkeeping(options.bookkeeping)
    series: list[Series] = []
    for rows in options.batch:
        t = subject.model.config.text
        length = min(t.max_context, 256)
        runner = build_runner(subject.model, Limits(rows, rows + 2, length, t.vocab_size, 1 + rows * length))
        stream = Watched(runner, rows, book)
        stream.pipelined(5)
        rounds = [one_round(device, stream, options) for _ in range(options.rounds)]
        runner.close()
        series += [
            Series(f"{rows} rows: {name}", unit, list(samples))
            for (name, unit), samples in zip(QUANTITIES, zip(*rounds, strict=True), strict=True)
        ]
    settings = {"bookkeeping_ms": options.bookkeeping, "steps_per_round": options.steps}
    return build_report("overlap_mlx", subject.describe(), settings, series)


def one_round(device: Device, stream: Watched, options: argparse.Namespace) -> tuple[float, ...]:
    """A sample of each of `QUANTITIES`."""
    one = stream.blocking(options.steps)
    stream.launches.clear()
    with handing_over(device) as seen:
        two = stream.pipelined(options.steps)
    launch = statistics.median(stream.launches)
    over = statistics.median(milliseconds for milliseconds, _ in seen[::2])  # forwards, not choices
    free = lock_free(device, stream, options.steps)
    return one, two, (one - two) / options.bookkeeping, launch, over, free


def lock_free(device: Device, stream: Stream, steps: int) -> float:
    """How far a Python thread comes during hand-overs, against how far it comes alone."""
    beside = Beside()
    try:
        alone = beside.rate(0.05)
        with handing_over(device, beside) as seen:
            stream.pipelined(steps)
    finally:
        beside.end()
    milliseconds, turns = (sum(each) for each in zip(*seen, strict=True))
    return 1000 * turns / milliseconds / alone


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = build_parser(__doc__ or "", rounds=7)
    parser.add_argument(
        "--batch", type=count, nargs="+", default=(1, 8), metavar="N", help="rows of a step (1 8)"
    )
    parser.add_argument(
        "--bookkeeping", type=float, default=1.0, metavar="MS", help="host work per step (%(default)s)"
    )
    parser.add_argument("--steps", type=count, default=50, metavar="N", help="in a sample (%(default)s)")
    return run(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
