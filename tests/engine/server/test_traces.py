"""What an engine does, step by step: over the socket, as a file, and for Prometheus."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from dreamscope.engine import wire
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.runtime.cost_model import StepTimes
from dreamscope.engine.runtime.engine import Health
from dreamscope.engine.runtime.metrics import Counters
from dreamscope.engine.runtime.telemetry import Gauges, StepRecord
from dreamscope.engine.server.forecast import ENOUGH, Forecaster
from dreamscope.engine.server.loading import Loader
from dreamscope.engine.server.options import ServerOptions
from dreamscope.engine.server.outbox import Frame, Outbox
from dreamscope.engine.server.serving import Known
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.server.traces import TraceDesk, TraceFeed, told, veiled
from dreamscope.engine.settings import load

MODEL = "sprite-2"


def record(index: int, depth: int = 1, period: float = 0.006, **changes: Any) -> StepRecord:
    """A decode step of two rows: 1 ms of launch, 0.5 of mask, 4 of device, 0.5 of commit."""
    at = index * period
    step = StepRecord(
        index=index,
        kind="decode",
        slot=index % 2,
        depth=depth,
        requests=("a", "b"),
        zombies=0,
        positions=2,
        launch=(at, at + 0.001),
        mask=(at + 0.001, at + 0.0015),
        wait=(at + 0.0015, at + 0.005),
        commit=(at + 0.005, at + 0.0055),
        device=(at + 0.001, at + 0.005),
        idle=0.0005,
    )
    return replace(step, **changes)


def test_steps_travel_with_the_requests_they_name() -> None:
    steps, requests = told([record(0), record(1, requests=("b", "c"), zombies=1)], lambda name: name != "a")
    assert requests == ("b", "c")
    assert [step.rows for step in steps] == [(-1, 0), (0, 1)]
    assert (steps[1].zombies, steps[0].launch, steps[0].idle) == (1, (0.0, 1.0), 0.5)


def test_requests_of_others_have_no_name() -> None:
    (step,) = veiled([record(0)], lambda name: name == "b")
    assert step.requests == ("", "b")


def test_the_forecast_stands_beside_what_was_measured() -> None:
    forecaster = Forecaster()
    assert forecaster.forecast() is None
    one = [record(index) for index in range(20)]
    forecaster.feed(one)
    two = [record(index, depth=2, period=0.004) for index in range(20, 40)]
    forecaster.feed(two)
    forecast = forecaster.forecast()
    assert forecast is not None
    times = StepTimes(f=4.0, s=0.0, c=0.0, bl=1.0, bm=0.5, bc=0.5)
    assert (forecast.rows, forecast.device) == (2, pytest.approx(4.0))
    assert forecast.blocking == pytest.approx(times.blocking) == pytest.approx(5.5)
    assert forecast.pipelined == pytest.approx(times.pipelined) == pytest.approx(4.0)
    assert forecast.gain == pytest.approx(0.375)
    assert forecast.measured_blocking == pytest.approx(6.0)
    assert forecast.measured_pipelined == pytest.approx(4.0)


@pytest.mark.parametrize(
    "steps",
    [
        [record(index) for index in range(ENOUGH - 1)],
        [record(index, kind="prefill") for index in range(40)],
    ],
    ids=["too few", "no decode"],
)
def test_nothing_is_said_of_too_little(steps: list[StepRecord]) -> None:
    forecaster = Forecaster()
    forecaster.feed(steps)
    assert forecaster.forecast() is None


def test_only_neighbours_of_the_same_batch_are_measured() -> None:
    forecaster = Forecaster()
    steps = [record(index, requests=("a", "b") if index % 4 < 2 else ("a", "c")) for index in range(0, 60)]
    forecaster.feed([replace(step, commit=(step.commit[0] + step.index % 4, 0.0)) for step in steps[:3]])
    forecaster.feed(steps[3::2])
    forecast = forecaster.forecast()
    assert forecast is not None
    assert (forecast.measured_blocking, forecast.measured_pipelined) == (None, None)


def test_what_was_measured_long_ago_is_not_told() -> None:
    forecaster = Forecaster()
    forecaster.feed(record(index) for index in range(20))
    forecaster.feed(record(index, depth=2, period=5.0) for index in range(20, 40))
    forecast = forecaster.forecast()
    assert forecast is not None
    assert (forecast.measured_blocking, forecast.measured_pipelined) == (None, pytest.approx(5000.0))


def test_what_was_measured_on_a_slower_device_is_not_compared() -> None:
    forecaster = Forecaster()
    forecaster.feed(record(index, device=(0.0, 0.009)) for index in range(20))
    forecaster.feed(record(index, depth=2, period=0.004) for index in range(20, 60))
    forecast = forecaster.forecast()
    assert forecast is not None
    assert (forecast.measured_blocking, forecast.measured_pipelined) == (None, pytest.approx(4.0))


class SteppingEngine:
    """Takes a step whenever it is asked what it did."""

    def __init__(self) -> None:
        self.taken: list[StepRecord] = []

    def steps(self, since: int = -1) -> list[StepRecord]:
        self.taken.append(record(len(self.taken)))
        return [step for step in self.taken if step.index > since]

    def gauges(self) -> Gauges:
        return Gauges("ready", 2)

    def counters(self) -> Counters:
        return Counters()

    def health(self) -> Health:
        return Health("ready")


class OneEngine:
    """A desk at which there is only this engine."""

    def __init__(self, engine: SteppingEngine) -> None:
        self.engine = engine

    def find(self, name: str | None) -> tuple[str, SteppingEngine]:
        return MODEL, self.engine

    def choice(self, model: str, engine: SteppingEngine) -> str:
        return "auto"


def test_a_slow_reader_misses_no_step(clock: Any) -> None:
    engine = SteppingEngine()
    ready, told_of = True, []

    def send(take: Callable[[], wire.Trace]) -> None:
        if ready:
            told_of.append([step.index for step in take().steps])

    feed = TraceFeed(clock, cast(TraceDesk, OneEngine(engine)), lambda name: True, send)
    feed.subscribe(wire.TraceSubscribe(100))
    ready = False
    engine.steps()
    clock.advance(0.35)
    ready = True
    clock.advance(0.1)
    feed.stop()
    clock.advance(1.0)
    assert told_of == [[0], [1, 2]]


def test_the_outbox_knows_what_waits() -> None:
    outbox = Outbox()
    outbox.push(Frame.of(wire.Models(())), 0.0)
    assert not outbox.has(wire.Trace)
    outbox.push(Frame.of(wire.Trace(model=MODEL, state="ready", clock_ms=0.0, gauges={}, totals={})), 0.0)
    assert outbox.has(wire.Trace)
    outbox.pop(0.0)
    outbox.pop(0.0)
    assert not outbox.has(wire.Trace)


@pytest.fixture
async def simulated(serve: Any) -> AsyncIterator[Any]:
    """A server that has Sprite 2 on the simulated device, at depth 1."""
    loader, spec = Loader(load(SETTINGS, "serve", {"device": "sim", "depth": "1"}, {})), find_model(MODEL)
    other = wire.ModelInfo("elsewhere", ("query",))
    shelf = Shelf([Known(spec.info(), partial(loader.load, spec), True), Known(other, refuse)])
    (await asyncio.wait_for(shelf.wait(MODEL), 60)).release()
    async with serve(shelf, ServerOptions(api_keys=("ours", "theirs"), drain_seconds=0.5)) as harness:
        yield harness
    shelf.close()


def refuse(report: object) -> Any:
    raise AssertionError("nobody asked for this model")


def get(server: Any, path: str, key: str | None = "ours") -> tuple[int, str]:
    headers = {} if key is None else {"X-Moondream-Auth": key}
    request = urllib.request.Request(f"http://{server.host}:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def greet(client: Any, key: str = "ours") -> None:
    await client.send(wire.Hello(auth=key))
    await client.until(wire.Ready)


async def ask(client: Any, request_id: str = "r1") -> None:
    """A question without an image, until its end. Greedy: what is drawn may end with its first token."""
    question, settings = "How many dogs?", {"temperature": 0}
    await client.send(
        wire.RequestCreate(request_id=request_id, skill="query", question=question, settings=settings)
    )
    await client.until(*wire.TERMINAL)


async def trace_until(client: Any, wanted: Callable[[wire.Trace], object]) -> wire.Trace:
    while True:
        (*_, trace) = await client.until(wire.Trace)
        if wanted(trace):
            return trace


async def test_a_subscriber_sees_every_step_once(simulated: Any) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await ask(client)
        await client.send(wire.TraceSubscribe(100))
        first = await trace_until(client, lambda trace: trace.steps)
        assert (first.model, first.state, first.depth, first.choice) == (MODEL, "ready", 1, "1")
        assert [step.index for step in first.steps] == list(range(len(first.steps)))
        assert first.steps[0].kind == "prefill"
        assert first.requests == ("r1",)
        assert {step.rows for step in first.steps} == {(0,)}
        assert first.steps[-1].commit[1] <= first.clock_ms
        assert first.totals["decode_steps"] == sum(step.kind == "decode" for step in first.steps)
        assert first.gauges["pages_free"] > 0
        await client.send(wire.RequestCreate(request_id="r2", skill="query", question="And cats?"))
        later = await trace_until(client, lambda trace: trace.steps)
        assert later.steps[0].index == first.steps[-1].index + 1
        assert later.requests == ("r2",)


async def test_the_depth_is_changed_while_it_runs(simulated: Any) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await client.send(wire.TraceSubscribe(100, "Sprite-2"))
        await trace_until(client, lambda trace: trace.choice == "1")
        await client.send(wire.DepthSet(2))
        await trace_until(client, lambda trace: trace.choice == "2" and trace.depth == 2)
        await ask(client)
        trace = await trace_until(client, lambda trace: trace.steps)
        assert {step.depth for step in trace.steps} == {2}


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (wire.TraceSubscribe(99), "invalid_parameter", "interval_ms"),
        (wire.TraceSubscribe(-1), "invalid_parameter", "interval_ms"),
        (wire.TraceSubscribe(100, "nobody"), "model_not_found", "model"),
        (wire.DepthSet(3), "invalid_parameter", "depth"),
        (wire.DepthSet(True), "invalid_parameter", "depth"),
        (wire.DepthSet([1]), "invalid_parameter", "depth"),
        (wire.DepthSet(1, "nobody"), "model_not_found", "model"),
        (wire.DepthSet(1, "elsewhere"), "model_unavailable", "model"),
    ],
    ids=repr,
)
async def test_what_cannot_be_done_is_told(simulated: Any, message: Any, code: str, param: str) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await client.send(message)
        (*_, error) = await client.until(wire.ErrorEvent)
        assert (error.error.code, error.error.param) == (code, param)


async def test_nothing_is_sent_of_a_model_that_is_not_loaded(simulated: Any) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await client.send(wire.TraceSubscribe(100, "elsewhere"))
        await client.send(wire.TraceSubscribe(98))
        assert isinstance(await client.receive(), wire.ErrorEvent)


async def test_an_engine_that_keeps_no_steps_is_told_apart(server: Any) -> None:
    async with server.client() as client:
        await client.send(wire.TraceSubscribe(100))
        error = await client.receive()
        assert (error.error.code, error.error.param) == ("not_implemented", "model")


async def test_the_last_steps_are_a_file(simulated: Any) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await ask(client)
    status, text = await asyncio.to_thread(get, simulated, "/v1/trace?seconds=600")
    slices = [event for event in json.loads(text)["traceEvents"] if event["name"].startswith("decode")]
    assert status == 200
    assert slices[0]["args"]["requests"] == "r1"
    _, text = await asyncio.to_thread(get, simulated, "/v1/trace?seconds=600", "theirs")
    assert "r1" not in text


@pytest.mark.parametrize(
    ("query", "key", "status", "param"),
    [
        ("?seconds=0", "ours", 400, "seconds"),
        ("?seconds=nan", "ours", 400, "seconds"),
        ("?seconds=soon", "ours", 400, "seconds"),
        ("?model=nobody", "ours", 404, "model"),
        ("?model=elsewhere", "ours", 503, "model"),
        ("", None, 401, None),
    ],
)
async def test_a_file_that_cannot_be_made(
    simulated: Any, query: str, key: str | None, status: int, param: str | None
) -> None:
    answered, text = await asyncio.to_thread(get, simulated, f"/v1/trace{query}", key)
    assert (answered, json.loads(text)["error"]["param"]) == (status, param)


async def test_prometheus_reads_what_the_engine_counts(simulated: Any) -> None:
    async with simulated.socket() as client:
        await greet(client)
        await ask(client)
    _, page = await asyncio.to_thread(get, simulated, "/metrics")
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    label = f'{{model="{MODEL}"'
    decoded = int(lines[f'dreamscope_engine_steps_total{label},kind="decode"}}'])
    assert decoded > 1
    assert lines[f"dreamscope_engine_commit_seconds_count{label}}}"] == str(decoded + 1)
    assert lines[f'dreamscope_engine_commit_seconds_bucket{label},le="+Inf"}}'] == str(decoded + 1)
    assert lines[f'dreamscope_engine_state{label},state="ready"}}'] == "1"
    assert float(lines[f'dreamscope_engine_pages{label},state="free"}}']) > 0
    assert page.count("# TYPE dreamscope_engine_commit_seconds histogram") == 1
