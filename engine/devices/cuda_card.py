"""The part of a card that has an order: streams, events, page-locked memory, graphs.

A runner reaches `torch.cuda` through a `Card` alone, so tests can put one in its place that does things as
late and as strangely as a card may. Work is a function that queues operations and returns at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from dreamscope.engine.devices.runner import DeviceLost

Work = Callable[[], None]


class CardEvent(Protocol):
    """A mark in a stream. Recording it anew forgets the mark before. Events of different cards do not mix."""

    def query(self) -> bool:
        """Whether the stream has passed it."""

    def wait(self) -> None:
        """Block until the stream has passed it. Raises `DeviceLost`."""

    def seconds_since(self, earlier: Any) -> float:
        """From another event that has happened to this one, by the clock of the card."""


class Stream(Protocol):
    """Work in order."""

    def run(self, work: Work) -> None:
        """Queue what the function queues. Raises what the function does, or `DeviceLost`."""

    def record(self, event: Any) -> None:
        """Mark the end of what is queued."""

    def wait_for(self, event: Any) -> None:
        """Let what is queued from now on begin when the other stream has passed the mark."""


class Card(Protocol):
    """One card."""

    def stream(self) -> Stream:
        """A new stream."""

    def event(self) -> CardEvent:
        """A new event, which has not happened."""

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory on the card."""

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Page-locked zeros on the host."""

    def capture(self, stream: Any, work: Work) -> Work:
        """Work that repeats on the same memory what the function queues. Nothing else may be under way."""

    def fence(self) -> None:
        """Wait for everything. Raises `DeviceLost`."""


class CudaEvent:
    """`CardEvent` of `torch.cuda`. Waiting leaves the processor and the interpreter to others."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)

    def query(self) -> bool:
        """Whether it has happened."""
        return bool(self.event.query())

    def wait(self) -> None:
        """Block until it has."""
        _or_lost(self.event.synchronize)

    def seconds_since(self, earlier: CudaEvent) -> float:
        """By the timestamps of the card."""
        return float(earlier.event.elapsed_time(self.event)) / 1000


class CudaStream:
    """`Stream` of `torch.cuda`, whose work runs in a scope."""

    def __init__(self, scope: Callable[[], AbstractContextManager[object]]) -> None:
        self.stream = torch.cuda.Stream()
        self._scope = scope

    def run(self, work: Work) -> None:
        """Call the function with this stream as the current one."""
        with torch.cuda.stream(self.stream), self._scope():
            _or_lost(work)

    def record(self, event: CudaEvent) -> None:
        """Mark."""
        event.event.record(self.stream)

    def wait_for(self, event: CudaEvent) -> None:
        """On the card; the host goes on."""
        self.stream.wait_event(event.event)


class CudaCard:
    """`Card` over `torch.cuda` and the current device. Graphs share one pool: only one runs at a time."""

    def __init__(self, scope: Callable[[], AbstractContextManager[object]]) -> None:
        """`scope` holds for all work: autograd off, in short."""
        self._scope = scope
        self._pool = torch.cuda.graph_pool_handle()

    def stream(self) -> CudaStream:
        """Beside the default one."""
        return CudaStream(self._scope)

    def event(self) -> CudaEvent:
        """With a timestamp."""
        return CudaEvent()

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """On the current device."""
        return torch.zeros(shape, dtype=dtype, device="cuda")

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """From PyTorch's pool of page-locked memory."""
        return torch.zeros(shape, dtype=dtype, pin_memory=True)

    def capture(self, stream: CudaStream, work: Work) -> Work:
        """A CUDA graph; the function is run once before, so that nothing is compiled or set up within."""
        stream.run(work)
        graph = torch.cuda.CUDAGraph()
        # Only this thread is bound to what a capture allows: others go on allocating.
        captured = torch.cuda.graph(
            graph, pool=self._pool, stream=stream.stream, capture_error_mode="thread_local"
        )
        with self._scope(), captured:
            work()
        return graph.replay

    def fence(self) -> None:
        """All streams of the device."""
        _or_lost(torch.cuda.synchronize)


def _or_lost(call: Work) -> None:
    """An error of the card itself stays with it; one of memory or of arguments does not."""
    try:
        call()
    except torch.AcceleratorError as error:
        raise DeviceLost(f"The card has failed: {error}") from error
