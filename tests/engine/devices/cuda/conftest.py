"""A card that does things as late and as strangely as a card may, on the processor.

Work waits in its stream until somebody waits for an event behind it, or until a random choice lets a stream
go on; then it runs, and reads what is in memory by that time. So a buffer that is filled anew too early, a
copy that waits for too little or too much, and a host that does not wait where it must give other tokens.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch
from torch.overrides import TorchFunctionMode

from dreamscope.engine.devices.cuda_runner import CudaRunner
from dreamscope.engine.devices.program import Program
from dreamscope.engine.devices.runner import DeviceLost, Limits
from dreamscope.engine.devices.torch_mirror import PinnedMirror
from dreamscope.engine.devices.torch_ops import TorchDevice
from dreamscope.engine.models.base import Model
from dreamscope.engine.weights.load import load_model

Order = Literal["at once", "needed", "copy last", "random"]
"""What runs when: all when it is queued; only what an event needs, when it is waited for; then too, but all
other streams as far as they get before; anything at any time."""
ORDERS: tuple[Order, ...] = ("at once", "needed", "copy last", "random")
TO_HOST = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__"}
SIZED_BY_VALUES = {"nonzero", "bincount", "masked_select", "unique", "equal", "argwhere", "repeat_interleave"}


class NoWaiting(TorchFunctionMode):
    """Operations that make the host wait for a card raise: values that come back, shapes that follow from
    values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        indices = args[1] if name in ("__getitem__", "__setitem__") else ()
        masks = [
            index
            for index in (indices if isinstance(indices, tuple) else (indices,))
            if isinstance(index, torch.Tensor) and index.dtype == torch.bool
        ]
        assert name not in TO_HOST | SIZED_BY_VALUES, f"I14: {name} waits for the card."
        assert not masks, f"I14: {name} with a mask waits for the card."
        return func(*args, **(kwargs or {}))


@dataclass(eq=False)
class FakeEvent:
    card: FakeCard
    marks: int = 0
    passed: int = 0
    at: int = 0

    def query(self) -> bool:
        return self.passed == self.marks > 0

    def wait(self) -> None:
        self.card.wait_until(self.query)

    def seconds_since(self, earlier: FakeEvent) -> float:
        assert self.query()
        return (self.at - earlier.at) / 1000


@dataclass(eq=False)
class FakeStream:
    card: FakeCard
    ops: deque[Callable[[], bool]] = field(default_factory=deque)

    def run(self, work: Callable[[], None]) -> None:
        def op() -> bool:
            with NoWaiting(), torch.inference_mode():
                work()
            return True

        self._queue(op)

    def record(self, event: FakeEvent) -> None:
        event.marks += 1
        mark = event.marks

        def op() -> bool:
            event.passed, event.at = mark, self.card.done
            return True

        self._queue(op)

    def wait_for(self, event: FakeEvent) -> None:
        mark = event.marks
        self._queue(lambda: event.passed >= mark or self.card.deaf)

    def _queue(self, op: Callable[[], bool]) -> None:
        self.ops.append(op)
        self.card.queued()

    def advance(self) -> bool:
        """Run what is next, if it may run."""
        if not self.ops:
            return False
        before, self.card.running = self.card.running, self
        done = self.ops[0]()
        self.card.running = before
        if done:
            self.ops.popleft()
            self.card.done += 1
        return done


@dataclass(eq=False)
class FakeCard:
    """Implements `Card`."""

    order: Order = "at once"
    seed: int = 0
    streams: list[FakeStream] = field(default_factory=list)
    running: FakeStream | None = None
    done: int = 0
    allocations: int = 0
    graphs: int = 0
    may_wait: bool = True
    lost: bool = False
    deaf: bool = False
    """Streams do not wait for each other."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def stream(self) -> FakeStream:
        self.allocations += 1
        self.streams.append(FakeStream(self))
        return self.streams[-1]

    def event(self) -> FakeEvent:
        self.allocations += 1
        return FakeEvent(self)

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        self.allocations += 1
        return torch.zeros(shape, dtype=dtype)

    pinned = zeros

    def capture(self, stream: FakeStream, work: Callable[[], None]) -> Callable[[], None]:
        self.allocations += 1
        self.graphs += 1
        return work

    def fence(self) -> None:
        self.wait_until(lambda: not any(stream.ops for stream in self.streams))

    def queued(self) -> None:
        """Something was queued: now is a time to go on."""
        if self.order == "at once":
            self._run(lambda: False, self.streams)
        while self.order == "random" and self._random.random() < 0.7:
            self._random.choice(self.streams).advance()

    def wait_until(self, happened: Callable[[], bool]) -> None:
        assert self.may_wait, "I14: the host waits where it must not."
        if self.lost:
            raise DeviceLost("The card is gone.")
        compute, *copies = self.streams
        if self.order == "copy last":
            while compute.advance():
                pass
        # The copy stream first: what it needs of the compute stream runs when it asks for it, and no more.
        self._run(happened, [*copies, compute])
        assert happened(), "Streams wait for each other."

    def _run(self, enough: Callable[[], bool], streams: list[FakeStream]) -> None:
        while not enough() and any(stream.advance() for stream in streams):
            pass


class Beside(TorchDevice):
    """The processor, whose memory is not that of the host as far as a runner can tell."""

    def __init__(self) -> None:
        super().__init__("beside", "float32", torch.device("cpu"))

    def mirror(self, values: Any) -> PinnedMirror:
        pinned = torch.from_numpy(values)
        return PinnedMirror(values, pinned.clone(), pinned)


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(max_batch=5, rows=7, max_seq=40, vocab=290, n_pages=120, masks=3)


@pytest.fixture(scope="session")
def beside(checkpoint: Any) -> Model:
    return load_model(checkpoint, Beside())


@pytest.fixture(params=ORDERS)
def card(request: pytest.FixtureRequest) -> FakeCard:
    return FakeCard(request.param)


@pytest.fixture
def make_card() -> type[FakeCard]:
    return FakeCard


@dataclass
class Logged:
    """A program that notes what runs when, and in which stream."""

    program: Program
    card: FakeCard
    ran: list[tuple[str, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.program, name)
        if name not in ("prefill", "decode", "choose", "load_adapter", "upload_rules"):
            return found

        def logged(*arguments: Any, **named: Any) -> Any:
            self.ran.append((name, self.card.running))
            return found(*arguments, **named)

        return logged


@pytest.fixture
def logged(beside: Model, limits: Limits) -> tuple[CudaRunner, Logged]:
    """A runner on a card that does no more than it must, and its program, which has run nothing yet."""
    card = FakeCard("needed")
    program = Logged(beside.batched(limits), card)
    runner = CudaRunner(program, card)  # type: ignore[arg-type]
    program.ran.clear()
    return runner, program
