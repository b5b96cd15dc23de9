"""Traced steps: they compute what eager ones do, without the interpreter lock and without new memory."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.cpu_steps import TracedSteps, can_trace
from dreamscope.engine.devices.runner import Draws, Limits, Prefill, Rule
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.devices.steps import Steps
from dreamscope.engine.devices.torch_experts import Fp8Experts
from dreamscope.engine.models.lora import Adapter, LowRank
from dreamscope.engine.weights.load import load_model

ROWS = 8
LIMITS = Limits(max_batch=ROWS, rows=ROWS + 2, max_seq=64, vocab=290, n_pages=700)
PATIENCE = 5.0
pytestmark = pytest.mark.filterwarnings("error::torch.jit.TracerWarning")


@pytest.fixture(scope="module")
def tiny(checkpoint: Any, cpu: Device) -> Any:
    return load_model(checkpoint, cpu)


@pytest.fixture(params=["traced", "eager"])
def steps(request: pytest.FixtureRequest, tiny: Any) -> Iterator[Steps]:
    program = tiny.batched(LIMITS)
    program.set_rule(1, Rule(numbers=frozenset({5, 6})))
    steps = TracedSteps(program, tiny.device) if request.param == "traced" else Steps(program)
    with steps.scope():
        yield steps


def greedy(n: int) -> Draws:
    return Draws(np.zeros(n, np.float32), np.ones(n, np.float32), None)


def drawn(n: int) -> Draws:
    uniforms = np.random.default_rng(n).random((n, 4)).astype(np.float32)
    return Draws(np.full(n, 0.8, np.float32), np.full(n, 0.9, np.float32), uniforms, detail=True)


def begin(steps: Steps, n: int) -> np.ndarray:
    rows = np.arange(1, n + 1)
    for row in rows:
        steps.program.table.host[row] = np.arange(64) + 1 + 64 * (row - 1)
    steps.prefill([Prefill(int(row), 0, [0, 20 + int(row), 30], 0) for row in rows])
    return rows


def one_step(steps: Steps, rows: np.ndarray, position: int, draws: Draws, rule: int = 1) -> np.ndarray:
    n = len(rows)
    picked = np.zeros((n, 4), np.int64)
    steps.decode(rows, np.full(n, position), np.zeros(n, np.int64))
    steps.sample(rows, np.full(n, rule), draws, picked)
    return picked


@pytest.mark.parametrize("sizes", [(5, 3, 5, 1, 2, 4, 5), (1, 5, 2, 1, 4)])
def test_traced_steps_decide_what_eager_ones_do(tiny: Any, sizes: tuple[int, ...]) -> None:
    """One trace serves batches of any size, whichever came first."""
    said = []
    for form in ("traced", "eager"):
        program = tiny.batched(LIMITS)
        program.set_rule(1, Rule(numbers=frozenset({5, 6})))
        steps = TracedSteps(program, tiny.device) if form == "traced" else Steps(program)
        with steps.scope():
            rows = begin(steps, 5)
            steps.sample(rows, np.ones(5, np.int64), greedy(5), np.zeros((5, 4), np.int64))
            said.append(
                [
                    one_step(steps, rows[:n], 3 + i, drawn(n) if i % 2 else greedy(n))
                    for i, n in enumerate(sizes)
                ]
            )
    for traced, eager in zip(*said, strict=True):
        np.testing.assert_array_equal(traced, eager)


def random_adapter(model: Any, seed: int, rank: int) -> Adapter:
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> Any:
        return model.device.array(rng.standard_normal(shape).astype(np.float32))

    shapes = [block.qkv.weight.shape for block in model.weights.text.blocks]
    pairs = [LowRank(matrix(into, rank), matrix(rank, out)) for out, into in shapes]
    return Adapter(str(seed), [{"qkv": pair} for pair in pairs], 0)


def test_traced_steps_use_the_adapters_that_are_loaded_now(tiny: Any) -> None:
    """The second one has a higher rank and slot, so that it does not fit where the first one lies."""
    said = []
    for form in ("traced", "eager"):
        program = tiny.batched(LIMITS)
        program.set_rule(1, Rule(numbers=frozenset({5, 6})))
        steps = TracedSteps(program, tiny.device) if form == "traced" else Steps(program)
        with steps.scope():
            rows = begin(steps, 3)
            steps.sample(rows, np.ones(3, np.int64), greedy(3), np.zeros((3, 4), np.int64))
            loads = ((1, 1, 2), (4, 2, 5), (1, 3, 3))
            for position, (slot, seed, rank) in enumerate(loads, 3):
                program.load_adapter(slot, random_adapter(tiny, seed, rank))
                picked = np.zeros((3, 4), np.int64)
                steps.decode(rows, np.full(3, position), np.array([0, 1, slot]))
                steps.sample(rows, np.ones(3, np.int64), greedy(3), picked)
                said.append(picked)
    for traced, eager in zip(said[:3], said[3:], strict=True):
        np.testing.assert_array_equal(traced, eager)
    assert any((each[1] != each[2]).any() for each in said)


def test_an_adapter_that_cannot_be_loaded_fails_the_steps_that_use_it(tiny: Any) -> None:
    runner = build_runner(tiny, LIMITS)
    try:
        for row in (1, 2):
            runner.set_pages(row, range(64 * row, 64 * row + 20))
        runner.load_adapter(1, "no adapter")
        runner.prefill(0, [Prefill(1, 1, [0, 20, 30], 0)], greedy(1))
        failing = runner.sample(0, np.zeros(1, np.int32))
        runner.prefill(1, [Prefill(2, 0, [0, 20, 30], 0)], greedy(1))
        fine = runner.sample(1, np.zeros(1, np.int32))
        with pytest.raises(AttributeError):
            failing.wait(20)
        fine.wait(20)
        runner.load_adapter(1, random_adapter(tiny, 1, 2))
        runner.prefill(0, [Prefill(1, 1, [0, 20, 30], 0)], greedy(1))
        runner.sample(0, np.zeros(1, np.int32)).wait(20)
    finally:
        runner.close()


def test_only_a_traced_step_leaves_the_interpreter_alone(steps: Steps) -> None:
    """The main thread keeps the lock and watches the page that a step in another thread writes last."""
    rows = begin(steps, ROWS)
    one_step(steps, rows, 3, greedy(ROWS))
    last = 4 if steps.form == "traced" else 40  # of many eager steps none gets far
    page = int(steps.program.table.host[1, last])
    written = steps.program.keys[-1].numpy()[page]  # type: ignore[attr-defined]
    begun = threading.Event()

    def work() -> None:
        with steps.scope():
            begun.set()
            for position in range(4, last + 1):
                steps.decode(rows, np.full(ROWS, position), np.zeros(ROWS, np.int64))

    thread, interval = threading.Thread(target=work), sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread.start()
        begun.wait()
        until = time.monotonic() + (PATIENCE if steps.form == "traced" else 0.3)
        while not written.any() and time.monotonic() < until:
            pass
        arrived = bool(written.any())
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert arrived == (steps.form == "traced")
    assert written.any()


def test_nothing_new_is_kept_once_every_pass_was_traced(tiny: Any) -> None:
    """I18"""
    steps = TracedSteps(tiny.batched(LIMITS), tiny.device)
    steps.program.set_rule(1, Rule(numbers=frozenset({5, 6})))
    with steps.scope():
        rows = begin(steps, ROWS)
        for n in (1, 2, 4, 8):
            for rule in (0, 1):
                one_step(steps, rows[:n], 3, greedy(n), rule)
                one_step(steps, rows[:n], 3, drawn(n), rule)
        before = addresses(steps)
        for position in range(4, 30):
            n = 1 + position % ROWS
            one_step(steps, rows[:n], position, drawn(n) if position % 3 else greedy(n), position % 2)
        begin(steps, ROWS)
        assert addresses(steps) == before


def test_a_prompt_by_itself_is_read_in_a_trace_as_it_is_eagerly(tiny: Any) -> None:
    """From the start, and behind what another row has read; one trace serves every length."""
    ids = [0, 21, 30, 7, 9, 11, 13]
    prompts = [Prefill(1, 0, ids[:5], 0), Prefill(2, 0, ids, 3), Prefill(2, 0, [*ids, 20], 7)]
    found = []
    for form in ("traced", "eager"):
        program = tiny.batched(LIMITS)
        steps = TracedSteps(program, tiny.device) if form == "traced" else Steps(program)
        program.table.host[1, :8] = np.arange(1, 9)
        program.table.host[2, :8] = [1, 2, 3, *range(20, 25)]
        with steps.scope():
            for prompt in prompts:
                steps.prefill([prompt])
                assert steps._features is not None
                both = steps._features.hidden, steps._features.logits
                found.append([tiny.device.numpy(each)[0].copy() for each in both])
        assert not isinstance(steps, TracedSteps) or steps.traces == 1
    for traced, eager in zip(found[:3], found[3:], strict=True):
        for one, other in zip(traced, eager, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def addresses(steps: TracedSteps) -> tuple[Any, ...]:
    program: Any = steps.program
    kept = (*program.keys, *program.values, program.pending, *steps._results.values())
    return steps.traces, [array.data_ptr() for array in kept]


def test_packed_experts_run_eagerly_and_the_name_says_so(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for packed, form in ((False, "traced"), (True, "eager")):
        program = tiny.batched(LIMITS)
        if packed:
            state = (program.state(), Fp8Experts(*[program.pending] * 3))
            monkeypatch.setattr(program, "state", lambda state=state: state)
        monkeypatch.setattr(tiny, "batched", lambda limits, program=program: program)
        assert can_trace(program) == (not packed)
        runner = build_runner(tiny, LIMITS)
        runner.close()
        assert runner.name == f"cpu, {form} steps"
        monkeypatch.undo()


def test_passes_can_be_traced_before_they_are_needed(tiny: Any) -> None:
    """In between two steps, which do not notice; and then no batch has to wait for it."""
    said = []
    for ahead in (False, True):
        steps = TracedSteps(tiny.batched(LIMITS), tiny.device, ahead)
        steps.program.set_rule(1, Rule(numbers=frozenset({5, 6})))
        with steps.scope():
            rows = begin(steps, 3)
            assert steps.spare() is None, "The results of the forward are still wanted."
            steps.sample(rows, np.ones(3, np.int64), greedy(3), np.zeros((3, 4), np.int64))
            while (spare := steps.spare()) is not None:
                spare()
            said.append([one_step(steps, rows, position, greedy(3)) for position in (3, 4, 5)])
    np.testing.assert_array_equal(*said)
    traces = steps.traces
    with steps.scope():
        for n in range(1, ROWS + 1):
            one_step(steps, begin(steps, n), 3, drawn(n), rule=n % 2)
    assert steps.traces == traces
