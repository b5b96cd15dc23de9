"""Many clients at a real server for minutes: are all answers right, does its memory stay bounded?

A `dreamscope serve` of its own is asked over plain HTTP, event streams and websockets at once, by clients of
which some read slowly and some are gone in the middle; see `load_clients.py`. It fails, with status 1, on

    an answer that is not the one that the server gave when nothing else was asked
    a status of 5xx, a stream that fails, a connection that ends, a request that is never answered
    memory above the bound, counted from the end of the warm-up
    a request that still waits, or holds a row or pages, after everybody has gone
    trouble in the server's log, or a server that does not stop when it is told to

A full queue is answered with 429, as is specified; such answers are counted apart. The times are those of
clients who share one Python process, and ask again as soon as they are answered.

Five minutes: `python benchmarks/serve.py --json benchmarks/results/serve-sprite-2.jsonl`
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from load_asks import Questions, questions
from load_clients import FAILURES, STEADY, Tally, crowd
from load_http import Http, plain
from processes import Server
from processes import serving as started
from report import load_average
from serving import Case, publish, quantile
from subject import count

WARM_UP = 0.2
"""The share of the time after which memory is looked at for the first time."""
GROWTH = 256 * 2**20
"""Bytes that the server may hold more later on: caches that fill, and requests that may be resumed."""
SAMPLES = 100
DRAIN_S = 30.0
"""How long those who have left may still hold something: a websocket may come back for 5 s."""
SHARES = {"P50": 0.5, "P95": 0.95, "P99": 0.99}
SHOWN = 5


async def learn(port: int, known: Questions) -> None:
    """Ask everything once, one after the other. Raises `Refused` or one of `FAILURES`."""
    http = await Http.open(port, STEADY)
    for ask in known.asks:
        known.wanted[ask] = await plain(http, ask, known.images[ask.image])
    http.hang_up()


async def load(
    server: Server, known: Questions, clients: int, seconds: float, seed: int
) -> tuple[dict[str, Tally], list[int]]:
    """Let the clients ask for so long: what they saw, and the server's memory from the warm-up on."""
    asking, tallies = crowd(server.port, known, clients, seed)
    begun = time.monotonic()
    memory: list[int] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.run(begun + seconds)) for client in asking]
        await asyncio.sleep(WARM_UP * seconds)
        while not all(task.done() for task in tasks):
            memory.append(await asyncio.to_thread(server.memory))
            await asyncio.sleep(seconds / SAMPLES)
    return tallies, memory


def drained(server: Server) -> dict[str, float]:
    """What requests hold after everybody has gone, once it is nothing, or after `DRAIN_S`."""
    until = time.monotonic() + DRAIN_S
    while any((held := server.holds()).values()) and time.monotonic() < until:
        time.sleep(0.1)
    return held


def rows(tallies: Mapping[str, Tally]) -> list[Case]:
    """A case for each kind of client."""
    cases = []
    for name, tally in tallies.items():
        figures: dict[str, Any] = {
            "answered": len(tally.times),
            "left": tally.left,
            "refused": tally.refused.total(),
            "failed": len(tally.failures),
        }
        for what, samples in (("", tally.times), ("first ", tally.firsts)):
            for share, value in SHARES.items():
                figures[f"{what}{share} ms"] = quantile(samples, value) if samples else None
        kept = {"ms": percentiles(tally.times), "first ms": percentiles(tally.firsts)}
        cases.append(Case({"clients": name}, figures, kept))
    return cases


def percentiles(samples: Sequence[float]) -> list[float]:
    """From the least to the most, a hundredth apart: tens of thousands of times are too much to keep."""
    return [quantile(samples, share / 100) for share in range(101)] if samples else []


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], list[Case], Case, list[str]]:
    """The subject, the cases of the clients and that of the server, and what was wrong.

    Raises `RuntimeError` for a server that does not start or stop well.
    """
    load_before, seconds = load_average(), 60 * options.minutes
    flags = [f"--model={options.model}", f"--device={options.device}"]
    flags += [f"--threads={options.threads}"] if options.threads else []
    with started(flags) as server:
        (model,) = [each for each in server.get("/v1/models")["data"] if each["default"]]
        device, dtype = server.get("/health")["device"].split()
        known = questions(options.seed, options.images, model["skills"])
        asyncio.run(learn(server.port, known))
        tallies, memory = asyncio.run(load(server, known, options.clients, seconds, options.seed))
        held = drained(server)
    answered = sum(len(tally.times) for tally in tallies.values())
    figures = {
        "answered": answered,
        "per second": answered / seconds,
        "memory MB": memory[0] / 1e6,
        "most MB": max(memory) / 1e6,
        "at the end MB": memory[-1] / 1e6,
        **{f"{name} after": value for name, value in held.items()},
    }
    wrong = [failure for tally in tallies.values() for failure in tally.failures]
    if max(memory) - memory[0] > GROWTH:
        wrong.append(f"memory grew by {(max(memory) - memory[0]) / 1e6:.0f} MB")
    if any(held.values()):
        wrong.append(f"after everybody had gone, requests held {held}")
    subject = {
        "model": model["name"],
        "device": device,
        "dtype": dtype,
        "threads": options.threads,
        "load_before": load_before,
    }
    name = {"clients": options.clients, "seconds": seconds}
    return subject, rows(tallies), Case(name, figures, {"memory": [float(each) for each in memory]}), wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Load, print and store. 1 if something was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="(%(default)s)")
    parser.add_argument("--clients", type=count, default=64, metavar="N", help="(%(default)s)")
    parser.add_argument("--images", type=count, default=12, metavar="N", help="to ask about (%(default)s)")
    parser.add_argument("--model", default="sprite-2", help="(%(default)s)")
    parser.add_argument("--device", default="auto", help="where the server computes (%(default)s)")
    parser.add_argument(
        "--threads", type=count, metavar="N", help="CPU threads of the server (its own choice)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is asked (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the result, by kind of client")
    options = parser.parse_args(argv)
    try:
        subject, clients, server, wrong = measure(options)
    except (RuntimeError, *FAILURES) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    publish("serve", subject, clients, options.json)
    path = options.json and options.json.with_name(f"{options.json.stem}-server.jsonl")
    publish("serve, the server", subject, [server], path)
    print("\n".join(wrong[:SHOWN]) if wrong else "every answer was right")
    if len(wrong) > SHOWN:
        print(f"... and {len(wrong) - SHOWN} more")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
