"""What the benchmarks of the engine share: questions about drawn scenes, a client, and tables of cases.

A case is one line of JSON: what was asked of what, on which machine, under what load, its figures and the raw
samples behind them. All cases of a run are also a Markdown table. Simulated and real cases never share one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from report import COMMIT, load_average, machine, shown
from subject import Subject, build_parser, count

from dreamscope.engine import wire
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.runtime.core import Build
from dreamscope.engine.runtime.engine import Batches, Engine, EngineOptions, EngineRequest
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.sprite.scenes import SceneMaker, Stage

SIDE = 280
"""Pixels of a scene's side."""
ALIKE = 4
"""So many of one thing are in each scene: an answer that counts them takes about 30 tokens."""
CAPS = {False: 10, True: 512}
"""Most tokens of an answer, by whether the model reasons."""
QUESTIONS = ("How many {}s are there?", "What is to the left of the {}?")


@dataclass(frozen=True, slots=True)
class Look:
    """A scene, and what there are several of in it."""

    image: RawImage
    thing: str

    def ask(self, name: str, which: int, reasoning: bool, cap: int | None = None) -> EngineRequest:
        """Question number `which` of two, as a request."""
        sampling = Sampling(temperature=0.0, max_tokens=cap or CAPS[reasoning])
        question = QUESTIONS[which % 2].format(self.thing)
        asked = SkillRequest("query", sampling, question=question, reasoning=reasoning)
        return EngineRequest(name, asked, self.image)

    def glance(self, name: str) -> EngineRequest:
        """Something else about the scene, after which an engine has read it."""
        sampling = Sampling(temperature=0.0, max_tokens=1)
        return EngineRequest(name, SkillRequest("caption", sampling, length="short"), self.image)


def looks(seed: int, side: int = SIDE) -> Iterator[Look]:
    """Scenes without end, each another one."""
    maker, rng = SceneMaker(Stage(side), seed, pool_size=8), np.random.default_rng(seed)
    while True:
        scene = maker.make(rng)
        things = [name for name in scene.names if len(scene.named(name)) == ALIKE]
        if things:
            yield Look(RawImage.of(scene.pixels), things[0])


@contextmanager
def open_engine(subject: Subject, options: EngineOptions, build: Build | None = None) -> Iterator[Engine]:
    """A running engine, on the runner of its model unless `build` makes another."""
    model = subject.model
    info = wire.ModelInfo(subject.name, ("query",))
    engine = Engine(model, info, build or partial(build_runner, model), options=options)
    engine.start()
    try:
        yield engine
    finally:
        engine.shutdown()


class Clients:
    """Requests that are under way at an engine, and how each of them has ended."""

    def __init__(self, engine: Engine) -> None:
        self.ends: dict[str, wire.Message] = {}
        self._engine = engine
        self._change = threading.Condition()

    def submit(self, requests: Iterable[EngineRequest]) -> None:
        """Ask, without waiting."""
        for request in requests:
            self._engine.submit(request, self._deliver)

    def wait(self, ids: Sequence[str]) -> None:
        """Until all of these have ended."""
        with self._change:
            self._change.wait_for(lambda: self.ends.keys() >= set(ids))

    def ask(self, requests: Sequence[EngineRequest]) -> list[wire.Metrics]:
        """All at once; what each has cost. Raises `RuntimeError` if one is not answered."""
        self.submit(requests)
        self.wait([request.request_id for request in requests])
        ends = [self.ends.pop(request.request_id) for request in requests]
        bad = next((end for end in ends if not isinstance(end, wire.RequestDone)), None)
        if bad is not None:
            raise RuntimeError(f"The engine did not answer: {bad}")
        return [end.metrics for end in ends if isinstance(end, wire.RequestDone)]

    def _deliver(self, batches: Batches) -> None:
        ended = {name: events[-1] for name, events in batches if isinstance(events[-1], wire.TERMINAL)}
        if ended:
            with self._change:
                self.ends.update(ended)
                self._change.notify()


# ---------------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True, slots=True)
class Case:
    """`name` tells it from the others of its table; `figures` are its columns, `samples` the raw ones."""

    name: Mapping[str, Any]
    figures: Mapping[str, Any]
    samples: Mapping[str, Sequence[float]]


def known(milliseconds: float | None) -> float:
    """A time that an answered request always has."""
    assert milliseconds is not None
    return milliseconds


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which so large a share of them lies."""
    return sorted(samples)[min(int(share * len(samples)), len(samples) - 1)]


def median(samples: Iterable[float]) -> float:
    """Of at least one."""
    return statistics.median(samples)


def parser_of(description: str, rounds: int) -> argparse.ArgumentParser:
    """The flags of all benchmarks, and the quick form."""
    parser = build_parser(description, rounds)
    parser.add_argument("--quick", action="store_true", help="small cases only: does it run?")
    parser.add_argument("--streams", type=count, nargs="+", metavar="N", help="requests at a time")
    return parser


def publish(benchmark: str, subject: Mapping[str, Any], cases: Sequence[Case], path: Path | None) -> None:
    """Print the table; with a path, store the cases there and the table beside them, as `.md`."""
    shared = {
        "benchmark": benchmark,
        "commit": COMMIT,
        "subject": dict(subject),
        "machine": machine(),
        "load_after": load_average(),
    }
    text = table(shared, cases)
    print(text)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({**shared, "case": dict(one.name), "figures": dict(one.figures), "samples": _lists(one)})
        for one in cases
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"stored in {path}")


def table(shared: Mapping[str, Any], cases: Sequence[Case]) -> str:
    """Cases as Markdown."""
    subject, here = shared["subject"], shared["machine"]
    columns = [*cases[0].name, *cases[0].figures]
    lines = [
        f"### {shared['benchmark']}: {subject['model']}, {subject['dtype']} on {subject['device']}",
        "",
        f"{here['processor']}, {here['cores']} cores, threads used {subject['threads'] or 'its own'}, torch "
        f"{here['torch']}, load {shown(subject['load_before'])} before and {shown(shared['load_after'])} "
        f"after, commit {shown(shared['commit'])}",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for one in cases:
        cells = {**one.name, **one.figures}
        lines.append("| " + " | ".join(shown(cells[column]) for column in columns) + " |")
    return "\n".join(lines) + "\n"


def _lists(case: Case) -> dict[str, list[float]]:
    return {name: [float(f"{sample:.5g}") for sample in samples] for name, samples in case.samples.items()}
