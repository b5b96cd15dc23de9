"""A step as the runner takes it: arrays with an entry for each seat, in order."""

from __future__ import annotations

from collections.abc import Sequence as Items

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.runner import Detail, Draws, ModelRunner, Prefill, StepHost
from dreamscope.engine.runtime.sequence import Odds, Picked, Seat, Step
from dreamscope.engine.runtime.uniforms import uniforms


def queue_forward(runner: ModelRunner, step: Step) -> None:
    """Queue the forward of a step; the seats are as they were before. Raises what the runner does."""
    draws = _draws(step.seats)
    if step.kind == "prefill":
        for seat in step.seats:
            runner.set_pages(seat.row, seat.lease.pages)
        runner.prefill(step.slot, [_prompt(seat) for seat in step.seats], draws)
    else:
        runner.decode(step.slot, *_feeds(step.seats), draws)


def _prompt(seat: Seat) -> Prefill:
    return Prefill(seat.row, seat.adapter, seat.prompt, seat.lease.skip, seat.images)


def _feeds(seats: Items[Seat]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Row, position and adapter slot of each pending token."""
    rows, positions, adapters = zip(*[(seat.row, seat.length, seat.adapter) for seat in seats], strict=True)
    return np.array(rows, np.int32), np.array(positions, np.int32), np.array(adapters, np.int32)


def _draws(seats: Items[Seat]) -> Draws:
    """Sampling settings; uniform numbers only if somebody draws, each by its own seed and index."""
    sequences = [seat.sequence for seat in seats]
    temperature = np.array([sequence.temperature for sequence in sequences], np.float32)
    numbers = None
    if temperature.any():
        numbers = uniforms([one.seed for one in sequences], [seat.next_index for seat in seats])
    top_p = np.array([one.top_p for one in sequences], np.float32)
    return Draws(temperature, top_p, numbers, any(sequence.detail for sequence in sequences))


def decisions(host: StepHost) -> list[Picked]:
    """What was decided, by row."""
    ids, coords, sizes = host.ids.tolist(), host.coord.tolist(), host.size.tolist()
    logprobs = [None] * len(ids) if host.logprob is None else host.logprob.tolist()
    odds = [None] * len(ids) if host.detail is None else _odds(host.detail)
    return [Picked(*each) for each in zip(ids, coords, sizes, logprobs, odds, strict=True)]


def _odds(detail: Detail) -> list[Odds]:
    rows = range(len(detail.probability))
    coords = [None] * len(rows) if detail.coord is None else list(detail.coord)
    sizes = [None] * len(rows) if detail.size is None else list(detail.size)
    return [Odds(float(detail.probability[row]), coords[row], sizes[row]) for row in rows]
