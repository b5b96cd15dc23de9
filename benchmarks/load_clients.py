"""The clients of the load test: plain HTTP, event streams and websockets, each steady, slow or leaving.

    steady    asks, reads the whole answer, asks the next
    slow      reads a few bytes, then waits, all the time; over a websocket with several requests at once
    leaving   is gone in the middle: of its body, of the answer, of the stream; over a websocket it comes back
              half of the time and goes on from where it was

Whatever arrives is compared with the answer that the server gave when nothing else was asked.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from load_asks import Answer, Ask, Questions
from load_http import Http, Pace, Refused, Told, Wrong, payloads, plain
from load_socket import Asked, Socket
from websockets.exceptions import WebSocketException

from dreamscope.engine import wire

PATIENCE_S = 120.0
"""After which a request that was not answered counts as wrong."""
BACK_OFF_S = 1.0
STEADY = Pace()
SLOW = Pace(sip=256, pause_s=0.02)
SEVERAL = 4
"""Requests that a slow websocket has on its way."""
SOON = 12
"""Pieces of an answer after which a client that leaves has left."""
MANNERS = ("steady", "slow", "steady", "leaving", "steady")
FAILURES = (Wrong, OSError, EOFError, WebSocketException)
"""What can be wrong with an answer; all but the first are a connection that ended."""


@dataclass(slots=True)
class Tally:
    """What happened to the clients of one kind. Milliseconds: `times` until the whole answer was there,
    `firsts` until its first piece."""

    times: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    left: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Watch:
    """Takes the times of one request."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._first: float | None = None

    def piece(self) -> None:
        """Something of the answer is there."""
        self._first = self._first or time.perf_counter()

    def stop(self, tally: Tally) -> None:
        """All of it is."""
        tally.times.append(1000 * (time.perf_counter() - self._begun))
        if self._first is not None:
            tally.firsts.append(1000 * (self._first - self._begun))


class Client:
    """Asks one thing after the other; which one, `rng` says."""

    def __init__(self, port: int, known: Questions, tally: Tally, manner: str, rng: random.Random) -> None:
        self._port = port
        self._known = known
        self._tally = tally
        self._rng = rng
        self._leaves = manner == "leaving"
        self._pace = SLOW if manner == "slow" else STEADY
        self._connection: Http | Socket | None = None

    async def run(self, until: float) -> None:
        """Until this moment of the monotonic clock; what goes wrong is in the tally."""
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._round()
            except Refused as refused:
                self._tally.refused[str(refused)] += 1
                self._drop()
                await asyncio.sleep(BACK_OFF_S)
            except (*FAILURES, TimeoutError) as failure:
                self._tally.failures.append(f"{type(self).__name__}: {failure!r}"[:1000])
                self._drop()
        self._drop()

    async def _round(self) -> None:
        """Ask, once or several times. Raises `Refused` or one of `FAILURES`."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Be gone from the connection, if there is one."""
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None

    def _leave(self) -> None:
        self._tally.left += 1
        self._drop()

    def _draw(self, *without: str) -> tuple[Ask, str, Answer]:
        """Something to ask, its image and what must be answered; not of these skills."""
        ask = self._rng.choice([each for each in self._known.asks if each.skill not in without])
        return ask, self._known.images[ask.image], self._known.wanted[ask]


class HttpClient(Client):
    """Keeps one connection for as long as it can."""

    async def _http(self) -> Http:
        if not isinstance(self._connection, Http):
            self._connection = await Http.open(self._port, self._pace)
        return self._connection


class Plain(HttpClient):
    """One JSON answer for one request."""

    async def _round(self) -> None:
        ask, image, wanted = self._draw()
        http, watch = await self._http(), Watch()
        if self._leaves:
            http.send(ask.path, ask.body(image), self._rng.choice((0.5, 1.0)))
            await asyncio.sleep(self._rng.uniform(0, 0.2))
            self._leave()
            return
        expect(await plain(http, ask, image), wanted)
        watch.stop(self._tally)


class Stream(HttpClient):
    """Server-sent events."""

    async def _round(self) -> None:
        ask, image, wanted = self._draw("point", "detect")
        http, watch, told = await self._http(), Watch(), Told(ask)
        http.send(ask.path, ask.body(image, stream=True))
        status, pieces = await http.answer()
        enough = self._rng.randrange(SOON) if self._leaves else -1
        async for payload in payloads(status, pieces):
            told.take(payload)
            told.check_against(wanted)
            watch.piece()
            if enough == 0:
                self._leave()
                return
            enough -= 1
        if told.answer is None or not told.ended:
            raise Wrong("a stream without an end")
        expect(told.answer, wanted)
        watch.stop(self._tally)


class Messages(Client):
    """Requests over one websocket."""

    _names = itertools.count()

    async def _round(self) -> None:
        going: dict[str, tuple[Asked, Watch, Answer]] = {}
        socket = await self._socket()
        for _ in range(SEVERAL if self._pace is SLOW else 1):
            ask, image, wanted = self._draw("chat")
            asked = Asked(ask, f"load-{next(self._names)}")
            going[asked.create.request_id] = asked, Watch(), wanted
            await socket.ask(asked, f"image-{ask.image}", image)
        enough = self._rng.randrange(SOON) if self._leaves else -1
        while going:
            event = await self._event(socket)
            asked, watch, wanted = going[event.request_id]
            if asked.take(event):
                watch.piece()
            if asked.answer is not None:
                expect(asked.answer, wanted)
                watch.stop(self._tally)
                del going[event.request_id]
            elif enough == 0:
                self._leave()
                if self._rng.random() < 0.5:
                    return
                socket = await self._socket()
                await socket.resume(asked)
            enough -= 1

    async def _socket(self) -> Socket:
        if not isinstance(self._connection, Socket):
            self._connection = await Socket.open(self._port, self._pace)
        return self._connection

    async def _event(self, socket: Socket) -> wire.RequestEvent:
        """The next event of a request."""
        while True:
            message = await socket.receive()
            if isinstance(message, wire.RequestEvent):
                return message
            if isinstance(message, wire.ErrorEvent):
                raise Wrong(f"{message}")


KINDS: dict[str, type[Client]] = {"plain": Plain, "stream": Stream, "websocket": Messages}


def expect(answer: Answer, wanted: Answer) -> None:
    """Raises `Wrong` unless they are the same."""
    if answer != wanted:
        raise Wrong(f"answered {answer}, not {wanted}")


def crowd(port: int, known: Questions, size: int, seed: int) -> tuple[list[Client], dict[str, Tally]]:
    """So many clients of all kinds, and the tallies of the kinds by name."""
    tallies = {f"{kind}, {manner}": Tally() for kind in KINDS for manner in dict.fromkeys(MANNERS)}
    clients = []
    for number in range(size):
        kind, manner = list(KINDS)[number % 3], MANNERS[number // 3 % len(MANNERS)]
        tally, rng = tallies[f"{kind}, {manner}"], random.Random(f"{seed}/{number}")
        clients.append(KINDS[kind](port, known, tally, manner, rng))
    return clients, tallies
