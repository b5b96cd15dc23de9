"""The passes of a program over the arrays of a step, run at once by whoever calls: the eager form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Mirror
from dreamscope.engine.devices.program import Choice, Draw, Features, Feeds, Program
from dreamscope.engine.devices.runner import HEADS, Detail, Draws, Prefill

Ints = NDArray[np.int64]


class Steps:
    """One forward after the other, each with its sampling; all on one thread, within `scope`.

    What a pass reads of a step lies at the front of mirrors, which are filled before it.
    """

    form = "eager"

    def __init__(self, program: Program) -> None:
        rows, device = program.limits.rows, program.device
        self.program = program
        self._rows, self._positions, self._adapters, self._rules = (
            device.mirror(np.zeros(rows, np.int64)) for _ in range(4)
        )
        self._temperature, self._top_p = (device.mirror(np.zeros(rows, np.float32)) for _ in range(2))
        self._uniforms = device.mirror(np.zeros((rows, HEADS), np.float32))
        self._features: Features | None = None

    def scope(self) -> AbstractContextManager[object]:
        """Entered once by the thread that runs the steps."""
        return self.program.device.inference()

    def spare(self) -> Callable[[], None] | None:
        """What could be done while there is nothing to do; not between a forward and its sampling."""
        return None

    def prefill(self, prompts: Sequence[Prefill]) -> None:
        """Read prompts."""
        self.program.table.upload()
        self._features = self.program.prefill(prompts)

    def decode(self, rows: Ints, positions: Ints, adapters: Ints) -> None:
        """Feed the pending elements of rows `[n]`."""
        self.program.table.upload()
        fill(self._rows, rows)
        fill(self._positions, positions)
        fill(self._adapters, adapters)
        self._features = self._forward(len(rows), int(positions.max()) + 1, bool(adapters.any()))

    def sample(self, rows: Ints, rules: Ints, draws: Draws, picked: Ints) -> Detail | None:
        """Decide for the rows of the last forward, and copy what was decided into `picked` `[n, 4]`."""
        self.program.upload_rules()
        fill(self._rows, rows)
        fill(self._rules, rules)
        drawn = draws.uniforms is not None
        if draws.uniforms is not None:
            fill(self._temperature, draws.temperature)
            fill(self._top_p, draws.top_p)
            fill(self._uniforms, draws.uniforms)
        n, fetch = len(rows), self.program.device.numpy
        numbers, sizes = self.program.reads_numbers(rules), self.program.reads_sizes(rules)
        choice = self._choose(n, drawn, numbers, sizes)
        picked[:] = fetch(choice.picked)[:n]
        if not draws.detail:
            return None
        coord, size = (None if head is None else fetch(head)[:n] for head in (choice.coord, choice.size))
        return Detail(fetch(choice.probability)[:n], coord, size)

    def _forward(self, n: int, span: int, adapted: bool) -> Features:
        """Decode the first n entries of the mirrors."""
        return self.program.decode(self._feeds(n, span, adapted))

    def _choose(self, n: int, drawn: bool, numbers: bool, sizes: bool) -> Choice:
        """Decide for them."""
        assert self._features is not None, "Nothing was read."
        rows, rules, draw = self._rows.array[:n], self._rules.array[:n], self._draw(n, drawn)
        return self.program.choose(rows, self._features, rules, draw, numbers, sizes)

    def _feeds(self, n: Any, span: Any, adapted: bool) -> Feeds:
        adapters = self._adapters.array[:n] if adapted else None
        return Feeds(self._rows.array[:n], self._positions.array[:n], adapters, span)

    def _draw(self, n: Any, drawn: bool) -> Draw | None:
        if not drawn:
            return None
        return Draw(self._temperature.array[:n], self._top_p.array[:n], self._uniforms.array[:n])


def fill(mirror: Mirror, values: NDArray[np.generic]) -> None:
    """Put values at the front of a mirror."""
    mirror.host[: len(values)] = values
    mirror.upload()
