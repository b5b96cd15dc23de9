"""The order of a card's work, on a card that does everything as late or as oddly as it may.

Sequences of one model are served with two steps in flight; what they get is what each gets alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from dreamscope.engine.devices.cuda import CudaDevice
from dreamscope.engine.devices.cuda_passes import buckets_to
from dreamscope.engine.devices.cuda_runner import CudaRunner, open_cuda_runner
from dreamscope.engine.devices.program import Draw, Feeds, Program
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.runner import (
    FREE,
    HEADS,
    DeviceLost,
    Draws,
    Limits,
    Prefill,
    Rule,
)
from dreamscope.engine.models.lora import Adapter, LowRank
from dreamscope.engine.weights.load import load_model

pytestmark = pytest.mark.cuda

COORD = 5
ALLOWED = Rule(allowed=frozenset(range(10, 200)))
NUMBER = Rule(allowed=frozenset({COORD}), numbers=frozenset({COORD}))
PERMANENT = 1
POISON = -777


@dataclass
class Line:
    """One sequence: where it lives, and what it got. Its rules depend on what it got last."""

    name: int
    row: int
    temperature: float = 0.0
    adapter: int = 0
    prompt: list[int] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    picked: list[list[int]] = field(default_factory=list)
    length: int = 0

    def __post_init__(self) -> None:
        noise = np.random.default_rng(self.name)
        self.prompt = [0, *noise.integers(10, 280, noise.integers(1, 9)).tolist()]
        self.pages = (1 + 20 * (self.row - 1) + noise.permutation(20)).tolist()

    def rule(self) -> Rule:
        index = len(self.picked)
        if (self.name + index) % 4 == 3:
            return NUMBER
        last = self.picked[-1][0] if self.picked else 0
        return (Rule(), ALLOWED, Rule(suppressed=frozenset({last, 7})))[(self.name + index) % 4]

    def uniforms(self) -> np.ndarray:
        return np.random.default_rng((self.name, self.length)).random(HEADS, np.float32)

    def prefill(self) -> Prefill:
        self.length = len(self.prompt)
        return Prefill(self.row, self.adapter, self.prompt, 0)


def draws_of(lines: Sequence[Line]) -> Draws:
    temperature = np.array([line.temperature for line in lines], np.float32)
    uniforms = np.stack([line.uniforms() for line in lines]) if temperature.any() else None
    return Draws(temperature, np.full(len(lines), 0.9, np.float32), uniforms)


Step = tuple[str, list[Line]]


def traffic() -> list[Step]:
    """Batches of every kind of size; row 1 is given to another sequence as early as a pipeline may."""
    a, b, c, d, e = (
        Line(name, name, heat) for name, heat in zip(range(1, 6), (0, 1.0, 0, 0.7, 0), strict=True)
    )
    late = Line(9, a.row, 0.5)
    return [
        ("prefill", [a, b]),
        ("prefill", [c]),
        ("decode", [a, b]),
        ("decode", [a, b, c]),
        ("prefill", [d, e]),
        ("decode", [a, b, c, d, e]),
        ("decode", [b, c, d, e]),
        ("prefill", [late]),
        ("decode", [b, c]),
        ("decode", [late, c, d]),
        ("decode", [late]),
        ("decode", [late, b, c, d, e]),
    ]


def serve(runner: CudaRunner, steps: Sequence[Step], depth: int = 2) -> dict[int, list[list[int]]]:
    """Launch, commit the step before, sample; the ids and bins of every sequence."""
    before = None
    for index, step in enumerate(steps):
        slot = index % 2
        launch(runner, slot, step)
        if before is not None:
            commit(runner, *before)
        before = slot, step, sample(runner, slot, step)
        if depth == 1:
            commit(runner, *before)
            before = None
    if before is not None:
        commit(runner, *before)
    return {line.name: line.picked for _, lines in steps for line in lines}


def launch(runner: CudaRunner, slot: int, step: Step) -> None:
    kind, lines = step
    draws = draws_of(lines)
    with promptly(runner):
        if kind == "prefill":
            for line in lines:
                runner.set_pages(line.row, line.pages)
            runner.prefill(slot, [line.prefill() for line in lines], draws)
            return
        fields = [[getattr(line, name) for line in lines] for name in ("row", "length", "adapter")]
        runner.decode(slot, *(np.array(field, np.int32) for field in fields), draws)
        for line in lines:
            line.length += 1


def sample(runner: CudaRunner, slot: int, step: Step) -> Any:
    scratch = runner.limits.masks + 1 + slot * runner.limits.rows
    masks = []
    with promptly(runner):
        for place, line in enumerate(step[1]):
            rule = line.rule()
            masks.append({Rule(): FREE, ALLOWED: PERMANENT}.get(rule, scratch + place))
            if masks[-1] >= scratch:
                runner.set_mask(masks[-1], rule)
        return runner.sample(slot, np.array(masks, np.int32))


def commit(runner: CudaRunner, slot: int, step: Step, event: Any) -> None:
    event.wait()
    host = runner.read(slot)
    for line, *picked in zip(
        step[1], host.ids.tolist(), host.coord.tolist(), host.size.tolist(), strict=True
    ):
        bins = [picked[1], *picked[2]] if line.rule() == NUMBER else []
        line.picked.append([picked[0], *bins])
    runner._slots[slot].landing.picked.fill_(POISON)


@contextmanager
def promptly(runner: CudaRunner) -> Iterator[None]:
    """The host does not wait in here (I14)."""
    card: Any = runner._card
    card.may_wait = False
    try:
        yield
    finally:
        card.may_wait = True


def alone(program: Program, steps: Sequence[Step]) -> dict[int, list[list[int]]]:
    """The same without a runner: every row of every step by itself, and nothing in flight."""
    program.set_rule(PERMANENT, ALLOWED)
    scratch = program.limits.masks + 1
    for kind, lines in steps:
        for line in lines:
            draws, rule, row = draws_of([line]), line.rule(), torch.tensor([line.row])
            if kind == "prefill":
                prompt = line.prefill()
                program.table.host[line.row, : len(line.pages)] = line.pages
                program.table.upload()
                features = program.prefill([prompt])
            else:
                adapters = torch.tensor([line.adapter]) if line.adapter else None
                feeds = Feeds(row, torch.tensor([line.length]), adapters, program.limits.max_seq)
                features = program.decode(feeds)
                line.length += 1
            program.set_rule(scratch, rule)
            program.upload_rules()
            draw = None
            if draws.uniforms is not None:
                draw = Draw(
                    *(torch.from_numpy(part) for part in (draws.temperature, draws.top_p, draws.uniforms))
                )
            choice = program.choose(row, features, torch.tensor([scratch]), draw, numbers=True)
            picked = choice.picked[0].tolist()
            line.picked.append(picked if rule == NUMBER else picked[:1])
    return {line.name: line.picked for _, lines in steps for line in lines}


@pytest.fixture(scope="module")
def expected(beside: Any, limits: Limits) -> dict[int, list[list[int]]]:
    return alone(beside.batched(limits), traffic())


def runner_on(card: Any, model: Any, limits: Limits, graphs: bool = True) -> CudaRunner:
    runner = CudaRunner(model.batched(limits), card)
    runner.set_mask(PERMANENT, ALLOWED)
    if graphs:
        runner.capture()
    return runner


@pytest.mark.parametrize("graphs", [False, True])
def test_every_order_gives_the_tokens_of_each_sequence_alone(card, beside, limits, expected, graphs):
    """I5, I6, I11: nothing is filled, read or given away too early, whatever lags."""
    assert serve(runner_on(card, beside, limits, graphs), traffic()) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no card.")
def test_a_real_card_does(checkpoint, limits, expected):
    device = open_device("cuda", "float32")
    assert isinstance(device, CudaDevice)
    runner = open_cuda_runner(load_model(checkpoint, device).batched(limits), device)
    runner.set_mask(PERMANENT, ALLOWED)
    assert serve(runner, traffic()) == expected
    runner.close()


@pytest.mark.parametrize("seed", range(8))
def test_random_orders_do(make_card, beside, limits, expected, seed):
    assert serve(runner_on(make_card("random", seed), beside, limits), traffic()) == expected


def test_depths_give_the_same_tokens(make_card, beside, limits, expected):
    """I17."""
    assert serve(runner_on(make_card("needed"), beside, limits), traffic(), depth=1) == expected


@pytest.mark.parametrize("order", ["needed", "copy last"])
def test_streams_that_do_not_wait_are_noticed(make_card, beside, limits, expected, order):
    """What these tests tell apart: copies and choices that do not wait for what they need."""
    runner = runner_on(make_card(order, deaf=True), beside, limits)
    with contextlib.suppress(ValueError, IndexError, RuntimeError):  # poison is no token
        assert serve(runner, traffic()) != expected


def test_a_slot_that_is_used_too_early_is_noticed(make_card, beside, limits):
    """And a launch into the slot of a step that was not committed (I6)."""
    runner = runner_on(make_card("needed"), beside, limits)
    first, second = Line(1, 1), Line(2, 2)
    serve(runner, [("prefill", [first, second])])
    launch(runner, 0, ("decode", [first]))
    event = sample(runner, 0, ("decode", [first]))
    launch(runner, 0, ("decode", [second]))
    commit(runner, 0, ("decode", [first]), event)
    own = Line(1, 1)
    assert first.picked != alone(beside.batched(limits), [("prefill", [own]), ("decode", [own])])[1]


def test_forwards_and_choices_share_a_stream(logged):
    """I1. The table of rules crosses over in the other one."""
    runner, program = logged
    runner.set_mask(PERMANENT, ALLOWED)
    serve(runner, traffic())
    compute, copy = program.card.streams
    assert {stream for name, stream in program.ran if name != "upload_rules"} == {compute}
    assert {stream for name, stream in program.ran if name == "upload_rules"} == {copy}
    assert [name for name, _ in program.ran if name in ("prefill", "decode")] == [
        kind for kind, _ in traffic()
    ]


def test_a_copy_waits_for_its_own_step_alone(logged):
    """I7: the step after it, which is queued already, has not begun when the copy has landed."""
    runner, program = logged
    lines = [Line(1, 1), Line(2, 2)]
    launch(runner, 0, ("prefill", lines[:1]))
    event = sample(runner, 0, ("prefill", lines[:1]))
    launch(runner, 1, ("prefill", lines[1:]))
    assert not event.query()
    event.wait()
    assert event.query()
    assert [name for name, _ in program.ran] == ["upload_rules", "prefill", "choose"]
    assert event.ready_at() > 0


def test_a_choice_is_pending_when_its_copy_has_landed(logged):
    """I11: then the row may be another's, whose pending element nothing will overwrite."""
    runner, program = logged
    step = ("prefill", [Line(1, 3)])
    launch(runner, 0, step)
    event = sample(runner, 0, step)
    assert not program.pending[3].any()
    commit(runner, 0, step, event)
    assert program.pending[3, 0] == step[1][0].picked[0][0]


def test_a_rule_counts_that_is_written_after_the_launch(logged):
    """I5, I8: a mask is taken when the sampling is queued, and not before the commit."""
    runner, _ = logged
    line = Line(1, 1)
    launch(runner, 0, ("prefill", [line]))
    runner.set_mask(runner.limits.masks + 1, Rule(allowed=frozenset({123})))
    event = runner.sample(0, np.array([runner.limits.masks + 1], np.int32))
    event.wait()
    assert runner.read(0).ids.tolist() == [123]


def test_nothing_is_allocated_while_serving(make_card, beside, limits):
    """I18: memory, streams, events and graphs are those of the start, and lie where they lay."""
    card = make_card("needed")
    runner = runner_on(card, beside, limits)
    before, places = card.allocations, addresses(runner)
    serve(runner, traffic())
    assert card.allocations == before
    assert addresses(runner) == places
    assert card.graphs == 2 * len(buckets_to(limits.max_batch)) * (1 + 4)


def addresses(runner: CudaRunner) -> list[int]:
    found = []
    for slot in runner._slots:
        tensors = [slot.meta.buffer, slot.host_meta.buffer, slot.rules, slot.host_rules]
        tensors += [
            *slot.outcome.parts(True),
            *slot.landing.parts(True),
            slot.features.hidden,
            slot.features.logits,
        ]
        found += [tensor.data_ptr() for tensor in tensors]
    return found


def test_a_host_that_waits_is_noticed(logged):
    """I14: what the runner's calls are held to in all these tests."""
    runner, _ = logged
    with pytest.raises(AssertionError, match="I14"), promptly(runner):
        runner.fence()


def adapter(seed: int, config: Any) -> Adapter:
    t, noise = config.text, torch.Generator().manual_seed(seed)
    width = (t.n_heads + 2 * t.n_kv_heads) * t.head_dim
    down, up = (torch.randn(shape, generator=noise) for shape in ((t.dim, 2), (2, width)))
    return Adapter(str(seed), [{"qkv": LowRank(down, up)}] * t.n_layers, 0)


def test_adapters_are_loaded_in_the_order_of_the_steps(card, beside, limits, config):
    """I31, I32: rows with and without one share a step, which is not touched by what is loaded after it."""

    def steps() -> list[Step]:
        a, b = Line(1, 1, adapter=2), Line(2, 2)
        return [("prefill", [a]), ("prefill", [b]), ("decode", [a, b]), ("decode", [a, b])]

    plain = alone(beside.batched(limits), [("prefill", [Line(1, 1)])])
    program = beside.batched(limits)
    program.load_adapter(2, adapter(1, config))
    expected = alone(program, steps())
    assert expected[1][:1] != plain[1]
    runner, (*begun, last) = runner_on(card, beside, limits), steps()
    runner.load_adapter(2, adapter(1, config))
    serve(runner, begun)
    launch(runner, 0, last)
    runner.load_adapter(2, adapter(2, config))
    commit(runner, 0, last, sample(runner, 0, last))
    assert {line.name: line.picked for line in last[1]} == expected


def test_a_lost_card_is_told_at_the_event(make_card, beside, limits):
    card = make_card("needed")
    runner = runner_on(card, beside, limits)
    launch(runner, 0, ("prefill", [Line(1, 1)]))
    event = sample(runner, 0, ("prefill", [Line(1, 1)]))
    card.lost = True
    with pytest.raises(DeviceLost):
        event.wait()
    with pytest.raises(DeviceLost):
        runner.fence()
    runner.close()


def test_an_event_that_takes_too_long(logged):
    runner, _ = logged
    launch(runner, 0, ("prefill", [Line(1, 1)]))
    event = sample(runner, 0, ("prefill", [Line(1, 1)]))
    with pytest.raises(TimeoutError):
        event.wait(timeout=0)
    event.wait()
