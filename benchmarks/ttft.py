"""How long the first token takes on the engine as it serves, by what it knows of the image already.

    first            a new image: cutting, vision, prefix, question
    second           another question on it: the question behind the cached prefix
    other            the next new image
    after eviction   the first image again, after others have taken its pages
    text             a question without an image

The clock starts when the question is submitted, with the image decoded to pixels, and stops when the engine
has decided the first token. `streams` clients ask at the same time, each about its own images. The ratio is
taken client by client.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from serving import SIDE, Case, Clients, Look, known, looks, median, open_engine, parser_of, publish, quantile
from subject import Subject, count, open_subject

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.runtime.engine import EngineOptions

STREAMS = (1, 8)
KINDS = ("first", "second", "other", "after eviction", "text")


class Round:
    """Every kind of question, once for each stream."""

    def __init__(self, clients: Clients, number: int) -> None:
        self._clients = clients
        self._number = number
        self.samples: dict[str, list[float]] = {}

    def ask(self, kind: str, asked: Sequence[Look], which: int, image: bool = True) -> list[wire.Metrics]:
        """One question about each image, all at once; one token is enough."""
        requests = [
            look.ask(f"{self._number} {kind} {stream}", which, False, cap=1)
            for stream, look in enumerate(asked)
        ]
        if not image:
            requests = [replace(request, image=None) for request in requests]
        costs = self._clients.ask(requests)
        self.samples[kind] = [known(cost.ttft_ms) for cost in costs]
        return costs


def measure(subject: Subject, streams: int, rounds: int, side: int) -> list[Case]:
    """The kinds, in turn; in memory for twice as many images as there are streams."""
    config = subject.model.config
    pages = max(2 * streams * (config.prefix_len + 64), config.text.max_context)
    spare = 2 + pages // config.prefix_len
    samples: dict[str, list[float]] = {kind: [] for kind in KINDS}
    drawn = looks(streams, side)
    with open_engine(subject, EngineOptions(max_batch=max(streams, 2), pages=pages)) as engine:
        clients = Clients(engine)
        for number in range(rounds + 1):
            one, other = list(islice(drawn, streams)), list(islice(drawn, streams))
            now = Round(clients, number)
            now.ask("first", one, 0)
            known = now.ask("second", one, 1)
            now.ask("other", other, 0)
            now.ask("text", one, 0, image=False)
            for place, look in enumerate(islice(drawn, spare)):
                clients.ask([look.ask(f"{number} filler {place}", 0, False, cap=1)])
            again = now.ask("after eviction", one, 0)
            if any(cost.cached_tokens < config.prefix_len for cost in known) or any(
                cost.cached_tokens for cost in again
            ):
                raise RuntimeError("The cache did not do what this benchmark is about.")
            if number:
                for kind in KINDS:
                    samples[kind] += now.samples[kind]
    shares = [a / b for a, b in zip(samples["first"], samples["second"], strict=True)]
    return [
        Case(
            {"streams": streams, "side": side, "question": kind},
            {
                "P50 ms": median(times),
                "P95 ms": quantile(times, 0.95),
                "first / this": median(a / b for a, b in zip(samples["first"], times, strict=True)),
            },
            {"ms": times, "first / second": shares if kind == "second" else []},
        )
        for kind, times in samples.items()
    ]


def cases_of(subject: Subject, options: argparse.Namespace) -> list[Case]:
    """All numbers of streams."""
    streams = options.streams or ((2,) if options.quick else STREAMS)
    rounds = 1 if options.quick else options.rounds
    return [case for number in streams for case in measure(subject, number, rounds, options.side)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and store."""
    parser = parser_of(__doc__ or "", rounds=15)
    parser.add_argument("--side", type=count, default=SIDE, help="pixels of a scene's side (%(default)s)")
    options = parser.parse_args(argv)
    try:
        subject = open_subject(options)
        cases = cases_of(subject, options)
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    publish("time to first token", subject.describe(), cases, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
