"""Steps on the processor as TorchScript: traced passes, beside which the host can go on.

An eager step asks for the interpreter lock at every operation and overlaps with nothing. A traced one gives
it up once, if three things hold, which is why a pass is built the way it is:

* it takes no arguments: whatever it reads or writes is a buffer of its module, and each of those has a
  reference in C++ beside Python's, so that none is ever dropped to one while the pass runs, which is where
  PyTorch would ask for the lock again;
* all its inputs lie in long-lived buffers that are changed in place;
* its results are written into such buffers as the last thing.

How many rows there are, and how long the longest is, are inputs like others: a trace keeps that sizes follow
from sizes. So one trace serves every batch, and no rows are computed that nobody needs, which would cost as
much as others here. A pass is traced when it is first needed or while nothing else is to be done, always in
the worker. Weights that are kept packed are made dense by Python, which no trace keeps: such a model runs
eagerly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.program import Choice, Features, Program
from dreamscope.engine.devices.runner import Prefill, positions_of
from dreamscope.engine.devices.steps import Steps, fill

Key = tuple[Any, ...]
Run = Callable[[], Sequence[torch.Tensor]]
RUNS_IN = 3
"""So often PyTorch watches a trace and rearranges it before it runs as it will."""
FEATURES = ("hidden", "logits")
CHOICES = ("picked", "probability", "coord", "size")


class _Pass(torch.nn.Module):
    """What `run` computes goes to the first `count` rows of `results`; `held`: all arrays it may use."""

    def __init__(
        self, run: Run, count: torch.Tensor, results: Sequence[torch.Tensor], held: Iterable[torch.Tensor]
    ) -> None:
        super().__init__()
        self._run, self._results, self._count = run, results, count
        for index, array in enumerate({id(array): array for array in (*held, *results)}.values()):
            self.register_buffer(f"array{index}", array)

    def forward(self) -> torch.Tensor:
        """The pass. A trace has to return something, which here is nothing new."""
        for result, value in zip(self._results, self._run(), strict=True):
            written = result[: self._count].copy_(value)
        return written


def can_trace(program: Program) -> bool:
    """Whether everything that passes use is a plain tensor."""
    return not any(isinstance(leaf, torch_experts.Packed) for leaf in leaves(program.state()))


def leaves(value: Any) -> Iterator[Any]:
    """The arrays in dataclasses and sequences."""
    if isinstance(value, torch.Tensor | torch_experts.Packed):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)


def _only_ids(prompt: Prefill) -> bool:
    """Whether what is new of a prompt is ids, for the model without an adapter."""
    return not prompt.adapter and all(isinstance(one, int) for one in prompt.elements[prompt.skip :])


class TracedSteps(Steps):
    """`Steps` on the processor that trace themselves."""

    form = "traced"

    def __init__(self, program: Program, device: CpuDevice, ahead: bool = False) -> None:
        """`device` is the program's.

        `ahead`: whether passes are traced before they are needed, while nothing else is to be done.
        """
        super().__init__(program)
        self._device = device
        self._count, self._new, self._span = (program.device.mirror(np.zeros((), np.int64)) for _ in range(3))
        self._ids, self._new_positions = (
            program.device.mirror(np.zeros(program.limits.max_seq, np.int64)) for _ in range(2)
        )
        self._passes: dict[Key, _Pass] = {}
        self._results: dict[str, torch.Tensor] = {}
        self._adapters_version = 0
        self._sampled = True
        kinds = ((True, True), (True, False), (False, False))
        self._ahead = [(drawn, *numbers) for drawn in (True, False) for numbers in kinds]
        if not ahead:
            self._ahead.clear()
        self.traces = 0
        """How many passes were traced, and result buffers were made for them."""

    def spare(self) -> Callable[[], None] | None:
        """Trace a pass. That overwrites the results of a forward, so it has to wait for the sampling."""
        return partial(self._trace_ahead, *self._ahead.pop()) if self._ahead and self._sampled else None

    def _trace_ahead(self, drawn: bool, numbers: bool, sizes: bool) -> None:
        """With two rows, both row 0."""
        for mirror in (self._rows, self._positions, self._rules, self._temperature):
            mirror.host[:2] = 0
        self._forward(2, 1, False)
        self._read(Prefill(0, 0, (0, 0), 0))
        self._choose(2, drawn, numbers, sizes)

    def prefill(self, prompts: Sequence[Prefill]) -> None:
        """Read prompts: ids of one in a traced pass, all else eagerly."""
        self._sampled = False
        if len(prompts) == 1 and _only_ids(prompts[0]):
            self.program.table.upload()
            self._features = self._read(prompts[0])
            return
        super().prefill(prompts)
        assert self._features is not None
        features = self._features.hidden, self._features.logits
        for name, value in zip(FEATURES, features, strict=True):
            self._result(name, value)[: len(prompts)] = value

    def _read(self, prompt: Prefill) -> Features:
        """The new ids of a prompt."""
        ids, first = prompt.elements[prompt.skip :], positions_of(prompt.elements[: prompt.skip])
        fill(self._rows, np.array([prompt.row]))
        fill(self._ids, np.array(ids))
        fill(self._new_positions, first + np.arange(len(ids)))
        self._count.host[...], self._new.host[...], self._span.host[...] = 1, len(ids), first + len(ids)

        def run() -> tuple[torch.Tensor, ...]:
            ids, positions = (each.array[: self._new.array] for each in (self._ids, self._new_positions))
            features = self.program.read(ids, self._rows.array[:1], positions, self._span.array)
            return features.hidden, features.logits

        return Features(*self._run(("read",), run, FEATURES))

    def _forward(self, n: int, span: int, adapted: bool) -> Features:
        self._sampled = False
        self._count.host[...], self._span.host[...] = n, span

        def run() -> tuple[torch.Tensor, ...]:
            features = self.program.decode(self._feeds(self._count.array, self._span.array, adapted))
            return features.hidden, features.logits

        if adapted and self._adapters_version != self.program.adapters_version:
            self._adapters_version = self.program.adapters_version
            self._passes.pop(("decode", True), None)
        return Features(*self._run(("decode", adapted), run, FEATURES))

    def _choose(self, n: int, drawn: bool, numbers: bool, sizes: bool) -> Choice:
        self._sampled = True
        self._count.host[...] = n

        def run() -> tuple[torch.Tensor, ...]:
            count = self._count.array
            features = Features(*(self._results[name][:count] for name in FEATURES))
            rows, rules, draw = self._rows.array[:count], self._rules.array[:count], self._draw(count, drawn)
            choice = self.program.choose(rows, features, rules, draw, numbers, sizes)
            found = choice.picked, choice.probability, choice.coord, choice.size
            return tuple(each for each in found if each is not None)

        names = CHOICES[: 2 + numbers + sizes]
        found = self._run(("choose", drawn, numbers, sizes), run, names)
        by_name = dict.fromkeys(CHOICES) | dict(zip(names, found, strict=True))
        return Choice(**by_name)

    def _run(self, key: Key, run: Run, names: Sequence[str]) -> list[torch.Tensor]:
        """Run a pass; its results lie at the front of what is returned."""
        traced = self._passes.get(key)
        if traced is None:
            traced = self._passes[key] = self._trace(run, names)
        traced()
        return [self._results[name] for name in names]

    def _trace(self, run: Run, names: Sequence[str]) -> Any:
        """Passes write what depends on their inputs alone, so running one more than once changes nothing."""
        results = [self._result(name, value) for name, value in zip(names, run(), strict=True)]
        mirrors = (
            self._rows, self._positions, self._adapters, self._rules, self._count, self._span,
            self._temperature, self._top_p, self._uniforms,
            self._ids, self._new_positions, self._new,
        )  # fmt: skip
        own = (*(mirror.array for mirror in mirrors), *self._results.values())
        self.traces += 1
        held = (*own, *leaves(self.program.state()), *self._device.kept())
        traced = torch.jit.trace(_Pass(run, self._count.array, results, held), (), check_trace=False)
        for _ in range(RUNS_IN):
            traced()
        return traced

    def _result(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """The long-lived buffer of that name."""
        if name not in self._results:
            self._results[name] = torch.zeros((self.program.limits.rows, *like.shape[1:]), dtype=like.dtype)
        return self._results[name]
