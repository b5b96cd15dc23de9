"""P1, P2, P3, P7, P8: whatever arrives, ends, fails or is cancelled, in whatever order, the tokens are those
of the plain loop, and after every tick everything adds up.

By default 20,000 generated steps for each test. A million of them, about half an hour, in portions, as
Hypothesis remembers all examples of a run:

    export DREAMSCOPE_PIPELINE_STEPS=50000
    for seed in $(seq 20); do
        pytest tests/engine/pipeline/test_properties.py --timeout 0 --hypothesis-seed=$seed || break
    done
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dreamscope.engine.devices.runner import ImageKey, Limits
from dreamscope.engine.devices.sim import Costs, SimulatedFault
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.errors import ContextLengthExceeded, QueueFull
from dreamscope.engine.runtime.cost_model import AdaptiveDepth, FixedDepth
from dreamscope.engine.runtime.planner import Policy
from dreamscope.engine.runtime.simulation import SCRIPTS, look

STEPS = int(os.environ.get("DREAMSCOPE_PIPELINE_STEPS", "20000"))
PER_EXAMPLE, EXPECTED = 100, 75
"""Most examples take all the steps that they may; some end early."""
IMAGE_POSITIONS = 6

DIGESTS = (None, "00000000000a", "00000000000b", "00000000000c")
REQUEST = st.integers(0, 2**32)
"""One number for a whole request: drawing its fields one by one takes longer than serving it."""


def request_of(number: int) -> dict[str, Any]:
    """What a request asks. Few different words, so that prompts share beginnings."""
    draw = random.Random(number)
    digest = draw.choice(DIGESTS)
    image = () if digest is None else (ImageKey(digest, IMAGE_POSITIONS),)
    return {
        "prompt": (0, *image, *draw.choices((8, 9, 10), k=draw.randint(1, 5))),
        "skill": draw.choice(sorted(SCRIPTS)),
        "max_new": draw.randint(0, 20),
        "adapter": draw.choice((None, None, "red", "blue")),
        "temperature": draw.choice((0.0, 0.0, 0.7)),
        "seed": draw.randint(0, 3),
        "deadline": draw.choice((None, None, draw.uniform(0, 0.08))),
    }


WEIGHTS = {None: None, "red": 1234567, "blue": 7654321}


class _Traffic(RuleBasedStateMachine):
    """Submits, cancels, waits and ticks at random; at the end everybody is served and compared."""

    make_world: Callable[..., Any]
    make_ticket: Callable[..., Any]
    steps: list[int]

    @initialize(
        max_batch=st.integers(1, 8),
        pages=st.sampled_from([30, 45, 80, 400]),
        depth=st.sampled_from([1, 2, 2, 0]),
        jitter=st.sampled_from([0.0, 0.5]),
        stop=st.sampled_from([0.02, 0.1, 0.4]),
        mixed=st.booleans(),
        policy=st.sampled_from([Policy(), Policy(prefill_burst=None), Policy(max_wait_ms=5, max_passes=1)]),
        faults=st.dictionaries(st.integers(0, 300), st.sampled_from(["error", "late"]), max_size=2),
        healthy=st.booleans(),
    )
    def begin(self, max_batch, pages, depth, jitter, stop, mixed, policy, faults, healthy):
        self.world = self.make_world(
            limits=Limits(max_batch, max_batch + 2, 40, 32, pages, 3, mixed_adapter_prefill=mixed),
            machine=HistoryMachine(stop=stop),
            costs=Costs(lambda kind, rows, tokens: 2 + tokens / 10, lambda rows: 0.5, 0.2, jitter),
            depth=FixedDepth(depth) if depth else AdaptiveDepth(),
            faults={} if healthy else faults,
            options={"policy": policy, "max_queue": 12},
        )
        self.world.host.bl, self.world.host.bm, self.world.host.bc = 0.6, 0.2, 0.6
        self.names = 0
        self.unready: list[Any] = []

    def submit(self, **options: Any) -> None:
        world, name = self.world, f"r{self.names}"
        if options["deadline"] is not None:
            options["deadline"] += world.clock.now()
        options["adapter_weights"] = WEIGHTS[options["adapter"]]
        if options["skill"] == look.__name__:
            options["restarts"] = ((*options["prompt"], 11), options["prompt"])
        try:
            world.request(name, **options)
        except (QueueFull, ContextLengthExceeded):
            return
        self.names += 1

    @rule(request=REQUEST)
    def arrive(self, request):
        self.submit(**request_of(request))

    @rule(requests=st.lists(REQUEST, min_size=2, max_size=6))
    def burst(self, requests):
        for request in requests:
            self.submit(**request_of(request))

    @rule(request=REQUEST, error=st.sampled_from([None, None, OSError("no image")]))
    def arrive_before_the_image(self, request, error):
        digest = f"{50 + self.names:012x}"
        ticket = self.make_ticket(digest, ready=False, error=error)
        self.unready.append(ticket)
        prompt = (0, ImageKey(digest, IMAGE_POSITIONS), 8)
        self.submit(**{**request_of(request), "prompt": prompt, "tickets": {digest: ticket}})

    @rule()
    def images_arrive(self):
        for ticket in self.unready:
            ticket.ready = True

    @rule(pick=st.integers(0, 1000), request=REQUEST)
    def continue_an_answer(self, pick, request):
        through = [s for s in self.world.sequences.values() if s.finished and s.error is None]
        if through:
            before = through[pick % len(through)]
            prompt = (*before.prompt, *before.driver.elements[-8:], 9)
            self.submit(**{**request_of(request), "prompt": prompt, "adapter": before.adapter})

    @rule(times=st.integers(1, 12))
    def tick(self, times):
        self.world.tick(times)

    @rule(pick=st.integers(0, 1000))
    def cancel(self, pick):
        if self.names:
            self.world.scheduler.cancel(f"r{pick % self.names}")
            self.world.audit()

    @rule(seconds=st.floats(0, 0.02))
    def time_passes(self, seconds):
        self.world.clock.advance(seconds)

    @rule()
    def pause_and_resume(self):
        self.world.scheduler.pause()
        self.world.tick(2)
        assert self.world.scheduler.pipeline.empty
        self.world.scheduler.resume()

    @invariant()
    def count(self):
        self.steps[0] += 1

    def teardown(self):
        self.images_arrive()
        world = self.world
        world.run()
        world.check_outputs()
        allowed = (SimulatedFault, OSError, ContextLengthExceeded)
        for sequence in world.sequences.values():
            assert sequence.error is None or isinstance(sequence.error, allowed), sequence.error


def test_p1_p2_any_traffic_gives_the_tokens_of_the_plain_loop(world, ticket) -> None:
    class Traffic(_Traffic):
        make_world, make_ticket, steps = world, ticket, [0]

    run_state_machine_as_test(
        Traffic,
        settings=settings(
            max_examples=STEPS // EXPECTED + 1,
            stateful_step_count=PER_EXAMPLE,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Traffic.steps[0] >= STEPS


def test_p8_others_do_not_change_what_a_request_says(world) -> None:
    """The same request alone, and in a crowd, at both depths."""
    said = []
    for depth in (1, 2):
        for crowd in (0, 3, 9):
            one = world(depth=FixedDepth(depth), limits=dataclasses.replace(world.limits, n_pages=90))
            for name in range(crowd):
                one.request(
                    f"crowd {name}", (0, 8 + name % 2, 9), skill="outline", temperature=1.0, seed=name
                )
            one.tick(crowd)
            for skill in SCRIPTS:
                one.request(skill, (0, 8, 9), skill, temperature=0.9, seed=7)
            one.run()
            said.append({skill: tuple(one.said(skill)) for skill in SCRIPTS})
    assert all(each == said[0] for each in said)
    assert len({len(answer) for answer in said[0].values()}) > 2
