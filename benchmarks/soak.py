"""Mixed load with cancellations for minutes, and whether memory and pages stay what they were.

Clients ask about images that come back and images that do not, with every kind of answer; some cancel in the
middle, some give up by a deadline, some read nothing. Now and then everybody finishes and nothing is asked:
then memory and pages are read. At rest no request may hold a page, a row or an adapter.

    flat    the second half never takes 5 % more memory than the first half came to, and no page is held at
            any rest

Thirty minutes: `python benchmarks/soak.py --minutes 30 --json benchmarks/results/soak-sprite-2.jsonl`
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from report import load_average
from serving import Case, Clients, Look, looks, open_engine, parser_of, publish
from subject import Subject, count, open_subject

from dreamscope.engine.errors import DreamscopeError, QueueFull
from dreamscope.engine.runtime.engine import Engine, EngineOptions, EngineRequest
from dreamscope.engine.skills.base import Sampling, SkillRequest

KEPT = 6
"""Images that come back."""
CONTEXTS = 4
"""Of which there are pages."""
GROWTH = 1.05
PAGE = 4096


class Load:
    """Random requests, the same for the same seed."""

    def __init__(self, clients: Clients, engine: Engine, skills: Sequence[str], seed: int) -> None:
        self.asked = self.cancelled = self.refused = 0
        self._clients = clients
        self._engine = engine
        self._skills = skills
        self._random = random.Random(seed)
        self._drawn = looks(seed)
        self._kept = list(islice(self._drawn, KEPT))

    def burst(self, size: int) -> list[str]:
        """Ask so many at once, and cancel some of them; the ids of those that were accepted."""
        accepted = []
        for _ in range(size):
            self.asked += 1
            request = self._request(f"{self.asked}")
            try:
                self._clients.submit([request])
            except QueueFull:
                self.refused += 1
                continue
            accepted.append(request.request_id)
            if self._random.random() < 0.2:
                self.cancelled += 1
                self._engine.cancel(self._random.choice(accepted))
        return accepted

    def _request(self, name: str) -> EngineRequest:
        draw = self._random
        look = draw.choice(self._kept) if draw.random() < 0.8 else next(self._drawn)
        request = look.ask(name, draw.randrange(2), draw.random() < 0.5)
        skill = draw.choice(self._skills)
        if skill != "query":
            request = replace(request, skill_request=self._other(skill, look))
        if draw.random() < 0.05:
            request = replace(request, deadline=time.monotonic() + draw.uniform(0, 0.1))
        return request

    def _other(self, skill: str, look: Look) -> SkillRequest:
        sampling = Sampling(temperature=self._random.choice((0.0, 0.7)), max_tokens=40, max_objects=6)
        if skill == "caption":
            return SkillRequest(skill, sampling, length="normal")
        return SkillRequest(skill, sampling, object=look.thing)


def measure(subject: Subject, seconds: float, rest_s: float, seed: int) -> tuple[list[Case], bool]:
    """The rests, and whether everything stayed flat."""
    pages = CONTEXTS * subject.model.config.text.max_context  # few, so that they are all in use soon
    options, cases = EngineOptions(max_queue=256, pages=pages), []
    with open_engine(subject, options) as engine:
        clients = Clients(engine)
        load = Load(clients, engine, ("query", "caption", "point", "detect"), seed)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            until = time.monotonic() + rest_s
            while time.monotonic() < until:
                clients.wait(load.burst(24))
                clients.ends.clear()
            cases.append(at_rest(engine, load, time.monotonic() - begun))
    held = any(case.figures["pages held"] or case.figures["running"] for case in cases)
    return cases, not held and is_flat([float(case.figures["memory MB"]) for case in cases])


def at_rest(engine: Engine, load: Load, seconds: float) -> Case:
    """How things stand while nothing is asked."""
    engine.pause()  # after this the gauges are those of an engine that does nothing
    engine.resume()
    gauges, counters = engine.gauges(), engine.counters()
    figures = {
        "memory MB": round(resident() / 1e6, 1),
        "pages held": gauges.pages_private,
        "running": gauges.running,
        "pages cached": gauges.pages_cached,
        "pages free": gauges.pages_free,
        "evictions": gauges.evictions,
        "asked": load.asked,
        "answered": counters.completed,
        "cancelled": counters.cancelled,
        "out of time": counters.timeouts,
        "failed": counters.failed - counters.timeouts,
        "load": load_average(),
    }
    return Case({"minute": round(seconds / 60, 2)}, figures, {})


def is_flat(memory: Sequence[float]) -> bool:
    """Whether the second half needs no more than the first half has come to."""
    middle = len(memory) // 2
    return max(memory[middle:]) <= GROWTH * max(memory[: max(1, middle)])


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, print and store. 1 if something grew, or was not given back."""
    parser = parser_of(__doc__ or "", rounds=1)
    parser.add_argument("--minutes", type=float, default=1.0, metavar="N", help="(%(default)s)")
    parser.add_argument("--rests", type=count, default=20, metavar="N", help="readings (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is asked (%(default)s)")
    options = parser.parse_args(argv)
    seconds = 0.5 if options.quick else 60 * options.minutes
    try:
        subject = open_subject(options)
        cases, flat = measure(subject, seconds, seconds / options.rests, options.seed)
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    publish("soak", subject.describe(), cases, options.json)
    print("flat" if flat else "NOT FLAT")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
