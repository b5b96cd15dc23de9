"""How much of the host's work disappears under a decode step on the processor, and how the step has to run.

A step of a real model: forward of a token for each row, choice of the next one, copy to the host. Beside it
--bookkeeping milliseconds of pure Python in the thread that owns the runner, as the engine does after each
step. Three forms of the same step:

    traced    in a worker, as TorchScript: how the engine runs it
    eager     in a worker, operation by operation
    inline    in the thread of the bookkeeping: one after the other, whatever the depth

Depth 1 waits for a step, does the bookkeeping, and queues the next; depth 2 queues the forward of the next
one first, and its choice after the bookkeeping. Of both the time per step is taken, in turn, round by round.

    hidden = (step at depth 1 - step at depth 2) / bookkeeping      1: all of it, 0: nothing overlaps;
             more than the forward takes cannot be hidden under it
    gain   = inline step / step at depth 2

Two cores at least: on one nothing can overlap.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from report import Series, build_report
from subject import Subject, build_parser, count, run

from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.cpu_runner import CpuRunner
from dreamscope.engine.devices.cpu_steps import TracedSteps
from dreamscope.engine.devices.runner import FREE, Draws, Limits, ModelRunner, Prefill
from dreamscope.engine.devices.steps import Steps
from dreamscope.engine.devices.worker import Inline
from dreamscope.engine.errors import DeviceUnavailable

PROMPT = 110
"""Ids before the first step, about an image and a question of the small models."""
FORMS = ("traced", "eager", "inline")


class Stream:
    """Rows that decode without end; positions start again when the context is full."""

    def __init__(self, runner: ModelRunner, rows: int, book: Callable[[], None]) -> None:
        self._runner, self._book = runner, book
        self._rows = np.arange(1, rows + 1, dtype=np.int32)
        self._draws = Draws(np.zeros(rows, np.float32), np.ones(rows, np.float32), None)
        self._adapters, self._masks = np.zeros(rows, np.int32), np.full(rows, FREE, np.int32)
        self._position = self._first = PROMPT
        length = runner.limits.max_seq
        for row in self._rows.tolist():
            runner.set_pages(row, range(1 + (row - 1) * length, 1 + row * length))
        prompts = [Prefill(row, 0, range(20, 20 + PROMPT), 0) for row in self._rows.tolist()]
        runner.prefill(0, prompts, self._draws)
        runner.sample(0, self._masks).wait()
        runner.read(0)

    def blocking(self, steps: int) -> float:
        """Milliseconds per step at depth 1."""
        begun = time.perf_counter()
        for index in range(steps):
            self._launch(index % 2)
            self._commit(index % 2, self._runner.sample(index % 2, self._masks))
        return (time.perf_counter() - begun) * 1000 / steps

    def pipelined(self, steps: int) -> float:
        """Milliseconds per step at depth 2."""
        begun = time.perf_counter()
        self._launch(0)
        event = self._runner.sample(0, self._masks)
        for index in range(1, steps):
            self._launch(index % 2)
            self._commit(1 - index % 2, event)
            event = self._runner.sample(index % 2, self._masks)
        self._commit((steps - 1) % 2, event)
        return (time.perf_counter() - begun) * 1000 / steps

    def _launch(self, slot: int) -> None:
        positions = np.full(len(self._rows), self._position, np.int32)
        self._runner.decode(slot, self._rows, positions, self._adapters, self._draws)
        self._position += 1
        if self._position == self._runner.limits.max_seq:
            self._position = self._first

    def _commit(self, slot: int, event: Any) -> None:
        event.wait()
        self._runner.read(slot).ids.tolist()
        self._book()


def bookkeeping(milliseconds: float) -> Callable[[], None]:
    """Pure Python that takes so long on this machine when nothing runs beside it."""

    def loop(turns: int) -> int:
        total = 0
        for turn in range(turns):
            total += turn & 3
        return total

    begun = time.perf_counter()
    loop(1_000_000)
    turns = int(1_000_000 * milliseconds / 1000 / (time.perf_counter() - begun))

    def book() -> None:
        loop(turns)

    return book


def open_runner(subject: Subject, form: str, rows: int) -> CpuRunner:
    """The runner of a form. Raises `DeviceUnavailable` on another device."""
    device, t = subject.model.device, subject.model.config.text
    if not isinstance(device, CpuDevice):
        raise DeviceUnavailable("This benchmark measures steps on the processor: --device cpu.", "device")
    length = min(t.max_context, 256)
    program = subject.model.batched(Limits(rows, rows + 2, length, t.vocab_size, 1 + rows * length))
    steps = TracedSteps(program, device) if form == "traced" else Steps(program)
    return CpuRunner(steps) if form != "inline" else CpuRunner(steps, worker=Inline())


def measure(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """All batches and forms."""
    book = bookkeeping(options.bookkeeping)
    series: list[Series] = []
    for rows in options.batch:
        depths: dict[str, tuple[list[float], list[float]]] = {form: ([], []) for form in FORMS}
        with subject.model.device.inference():
            runners = [open_runner(subject, form, rows) for form in FORMS]
            streams = [Stream(runner, rows, book) for runner in runners]
            for stream in streams:
                stream.pipelined(5)
            for _ in range(options.rounds):
                for stream, (one, two) in zip(streams, depths.values(), strict=True):
                    one.append(stream.blocking(options.steps))
                    two.append(stream.pipelined(options.steps))
            for runner in runners:
                runner.close()
        series += _series(rows, depths, options.bookkeeping)
    settings = {"bookkeeping_ms": options.bookkeeping, "steps_per_round": options.steps}
    return build_report("overlap_cpu", subject.describe(), settings, series)


def _series(rows: int, depths: dict[str, tuple[list[float], list[float]]], book: float) -> list[Series]:
    inline = statistics.median(depths["inline"][0])
    found = [Series(f"{rows} rows, inline: step", "ms", depths["inline"][0])]
    for form in FORMS[:2]:
        one, two = depths[form]
        pairs = list(zip(one, two, strict=True))
        found += [
            Series(f"{rows} rows, {form}: step at depth 1", "ms", one),
            Series(f"{rows} rows, {form}: step at depth 2", "ms", two),
            Series(f"{rows} rows, {form}: hidden", "", [(a - b) / book for a, b in pairs]),
            Series(f"{rows} rows, {form}: gain over inline", "", [inline / b for _, b in pairs]),
        ]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = build_parser(__doc__ or "", rounds=7)
    parser.add_argument(
        "--batch", type=count, nargs="+", default=(1, 8, 32), metavar="N", help="rows of a step (1 8 32)"
    )
    parser.add_argument(
        "--bookkeeping", type=float, default=0.5, metavar="MS", help="host work per step (%(default)s)"
    )
    parser.add_argument("--steps", type=count, default=50, metavar="N", help="in a sample (%(default)s)")
    return run(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
