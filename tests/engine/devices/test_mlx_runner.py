"""Steps in MLX: handed over at once, evaluated where somebody waits, and keys and values written in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runner import DeviceLost, Draws, Limits, Prefill, Rule
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.weights.load import load_model

ROWS = np.array([1, 2, 3], np.int32)
PROMPT = (0, 20, 30)
LIMITS = Limits(max_batch=4, rows=6, max_seq=64, vocab=290, n_pages=60_000)
LOGITS_BYTES = 4 * 4 * 290


@pytest.fixture
def mx() -> Any:
    return pytest.importorskip("mlx.core")


@pytest.fixture(scope="module")
def tiny(checkpoint: Any) -> Any:
    pytest.importorskip("mlx.core")
    return load_model(checkpoint, open_device("mlx", "float32"))


@pytest.fixture
def runner(tiny: Any) -> Iterator[Any]:
    """Three rows whose prompts were read and whose first token is pending."""
    runner = build_runner(tiny, LIMITS)
    runner.set_mask(1, Rule(suppressed=frozenset({0}), numbers=frozenset({5, 6})))
    for row in ROWS.tolist():
        runner.set_pages(row, range(64 * row, 64 * row + 64))
    runner.prefill(0, [Prefill(row, 0, PROMPT, 0) for row in ROWS.tolist()], GREEDY)
    sample(runner, 0).wait()
    yield runner
    runner.close()


GREEDY = Draws(np.zeros(3, np.float32), np.ones(3, np.float32), None)
DRAWN = Draws(np.ones(3, np.float32), np.ones(3, np.float32), np.full((3, 4), 0.4, np.float32), detail=True)


def decode(runner: Any, slot: int, position: int, draws: Draws = GREEDY) -> None:
    runner.decode(slot, ROWS, np.full(3, position, np.int32), np.zeros(3, np.int32), draws)


def sample(runner: Any, slot: int) -> Any:
    return runner.sample(slot, np.ones(3, np.int32))


def test_only_waiting_evaluates(mx: Any, runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """I14: what a launch or a sampling hands over is noted, and takes no memory before it is computed."""
    said: list[str] = []
    evaluate = mx.eval
    with monkeypatch.context() as patch:
        patch.setattr(mx, "async_eval", lambda *arrays: said.append("handed over"))
        for name in ("eval", "synchronize"):
            patch.setattr(mx, name, lambda *arrays: pytest.fail("A launch has waited."))
        before = mx.get_active_memory()
        decode(runner, 1, 3, DRAWN)
        said.append("launched")
        event = sample(runner, 1)
        decode(runner, 0, 4)
        noted = mx.get_active_memory() - before
    assert said == ["handed over", "launched", "handed over", "handed over"]
    monkeypatch.setattr(mx, "eval", lambda arrays: (said.append("evaluated"), evaluate(arrays)))
    event.wait()
    assert runner.read(1).ids.min() > 0
    assert noted < LOGITS_BYTES
    assert said.count("evaluated") == 1


@pytest.mark.parametrize("kept", [False, True], ids=["", "seen by somebody else"])
def test_two_steps_in_flight_do_not_copy_the_cache(mx: Any, runner: Any, kept: bool) -> None:
    """Unless somebody holds the old contents, which shows that a copy would be seen."""
    keys = runner._program.keys
    size = keys[0].nbytes
    decode(runner, 1, 3)
    events = [sample(runner, 1)]
    grown = []
    for position in range(4, 14):
        old = keys[0][:] if kept else None
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        decode(runner, position % 2, position)
        events.append(sample(runner, position % 2))
        events.pop(0).wait()
        grown.append(mx.get_peak_memory() - before)
        del old
    events[0].wait()
    most = max(grown)  # of a single step: the memory of the one before may go just then
    assert most >= size if kept else most < size / 2


@pytest.mark.parametrize("stage", ["async_eval", "eval"])
def test_what_cannot_be_computed_is_told_at_the_wait_and_ends_the_device(
    mx: Any, runner: Any, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*arrays: Any) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(mx, stage, fail)
        decode(runner, 1, 3)
        event = sample(runner, 1)
        with pytest.raises(DeviceLost, match="no memory"):
            event.wait()
    with pytest.raises(DeviceLost, match="no memory"):
        event.wait()


def test_an_adapter_that_cannot_be_loaded_fails_the_steps_that_use_it(runner: Any) -> None:
    runner.load_adapter(1, "no adapter")
    runner.decode(1, ROWS, np.full(3, 3, np.int32), np.array([0, 1, 0], np.int32), GREEDY)
    with pytest.raises(AttributeError):
        sample(runner, 1).wait()
    decode(runner, 0, 3)
    sample(runner, 0).wait()
    assert runner.read(0).ids.min() > 0
