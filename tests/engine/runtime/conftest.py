from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.runner import (
    DeviceLost,
    ImageKey,
    Limits,
    Prefill,
    Rule,
    StepHost,
    positions_of,
)
from dreamscope.engine.models.moondream2.config import Moondream2Config, TextConfig, VisionConfig
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, Size
from dreamscope.engine.runtime.engine import Batches, Engine, EngineOptions
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.skills.base import Sampling, SkillRequest

TEXT_IDS = range(CONTROL_IDS, CONTROL_IDS + 256)
PATIENCE = 20.0  # seconds until a wait is a failed test


class ByteTokenizer:
    def encode(self, text: str) -> list[int]:
        return [CONTROL_IDS + byte for byte in text.encode()]

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(i - CONTROL_IDS for i in ids if i in TEXT_IDS).decode(errors="replace")


class EchoModel:
    """Answers a question with the question, and finds one object in the middle of every image.

    As a runner, it reads what was fed back from the pages. `hooks` run on the engine thread within each
    forward, with the text fed so far of every row.
    """

    name = "echo"

    def __init__(self, max_context: int = 512) -> None:
        self.config = Moondream2Config(
            text=TextConfig(max_context=max_context),
            vision=VisionConfig(crop_size=28, enc_patch_size=14, overlap_margin=0),
        )
        self.tokenizer = ByteTokenizer()
        self.device = SimpleNamespace(
            name="echo", dtype="float32", inference=contextlib.nullcontext, free_memory=lambda: None
        )
        self.calls: list[str] = []
        self.prompts: list[list[Any]] = []
        self.reserved: list[int] = []
        self.hooks: list[Callable[[str], None]] = []
        self.on_crop: Callable[[np.ndarray], None] = lambda rgb: None
        self.on_encode: Callable[[], None] = lambda: None
        self.built = 0
        self.lost: str | None = None

    def build(self, limits: Limits) -> EchoModel:
        self.limits = limits
        self.built += 1
        self.lost = None
        self._there: dict[int, Any] = {}
        self._pages: dict[int, Sequence[int]] = {}
        self._rules: dict[int, Rule] = {0: Rule()}
        self._work: dict[int, Any] = {}
        self._pending: dict[int, Any] = {}
        return self

    def crop(self, rgb: np.ndarray) -> str:
        self.calls.append("crop")
        self.on_crop(rgb)
        return "crops"

    def next_id(self, items: list[Any]) -> int:
        if any(isinstance(item, Size) for item in items) or sum(isinstance(i, Coord) for i in items) > 1:
            return 0
        end = len(items) - items[::-1].index(3)
        question = [item for item in items[: items.index(3)] if item in TEXT_IDS]
        said = items[end:]
        return question[len(said)] if len(said) < len(question) else 0

    # ---------------------------------------------------------------------------------------- the runner

    def set_pages(self, row: int, pages: Sequence[int]) -> None:
        self._pages[row] = pages
        self.reserved.append(len(pages))

    def set_mask(self, index: int, rule: Rule) -> None:
        self._rules[index] = rule

    def load_adapter(self, slot: int, adapter: Any) -> None: ...

    def prefill(self, slot: int, rows: Sequence[Prefill], draws: Any) -> None:
        for one in rows:
            self.prompts.append(list(one.elements))
            place, images = positions_of(one.elements[: one.skip]), iter(one.images)
            for element in one.elements[one.skip :]:
                if isinstance(element, ImageKey):
                    assert next(images) == "crops"
                    self.calls.append("encode")
                    self.on_encode()
                for _ in range(positions_of([element])):
                    self._there[self._pages[one.row][place]] = element
                    place += 1
        self._forward(slot, [(one.row, positions_of(one.elements)) for one in rows])

    def decode(self, slot: int, rows: Any, positions: Any, adapters: Any, draws: Any) -> None:
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            self._there[self._pages[row][position]] = self._pending[row]
        self._forward(slot, [(row, n + 1) for row, n in zip(rows.tolist(), positions.tolist(), strict=True)])

    def sample(self, slot: int, masks: Any) -> EchoModel:
        self._moment = time.monotonic()
        ids = []
        for (row, items), mask in zip(self._work[slot], masks.tolist(), strict=True):
            rule, chosen = self._rules[mask], self.next_id(items)
            if rule.allowed == {5} or rule.allowed == {6}:
                (chosen,) = rule.allowed
            elif rule.folded is not None and chosen > 0:
                chosen = rule.folded
            numbers = {5: Coord.from_bin(512), 6: Size.from_bins(1023, 0)}
            self._pending[row] = numbers[chosen] if chosen in rule.numbers else chosen
            ids.append(chosen)
        n = len(ids)
        sizes = np.tile(np.array([1023, 0], np.int32), (n, 1))
        self._work[slot] = StepHost(np.array(ids, np.int64), np.full(n, 512, np.int32), sizes)
        return self

    def read(self, slot: int) -> StepHost:
        return self._work[slot]

    def query(self) -> bool:
        return True

    def wait(self, timeout: float | None = None) -> None: ...

    def ready_at(self) -> float:
        return self._moment

    def fence(self) -> None:
        if self.lost:
            raise DeviceLost(self.lost)

    def close(self) -> None:
        self.calls.append("close")

    def _forward(self, slot: int, rows: list[tuple[int, int]]) -> None:
        if self.lost:
            raise DeviceLost(self.lost)
        histories = []
        for row, length in rows:
            items = [self._there[page] for page in self._pages[row][:length]]
            histories.append((row, [item for item in items if not isinstance(item, ImageKey)]))
        self._work[slot] = histories
        for _, items in histories:
            fed = self.tokenizer.decode(item for item in items if isinstance(item, int))
            for hook in self.hooks:
                hook(fed)


class Sink:
    """Collects the events of one request and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[wire.Message] = []
        self.batches = 0
        self._changed = threading.Condition()

    def __call__(self, batches: Batches) -> None:
        with self._changed:
            for _, events in batches:
                self.events.extend(events)
            self.batches += 1
            self._changed.notify_all()

    def wait_for(self, kind: Any) -> Any:
        """The first event of this class (or classes), waiting for it."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._first(kind), PATIENCE)
        assert found, f"no {kind} in {self.events}"
        return found

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Looked at again with every batch."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE)

    def end(self) -> Any:
        """The terminal event; checks that it is the only one, and the numbering."""
        last = self.wait_for(wire.TERMINAL)
        assert self.events[-1] is last
        assert [event.seq for event in self.events] == list(range(len(self.events)))
        assert isinstance(self.events[0], wire.RequestAccepted)
        times = [event.t for event in self.events]
        assert times == sorted(times)
        return last

    def of(self, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self) -> str:
        return "".join(event.delta for event in self.of(wire.TextDelta))

    def _first(self, kind: Any) -> Any:
        return next((event for event in self.events if isinstance(event, kind)), None)


class Gate:
    """Holds a thread at a chosen place until the test opens it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, *_: Any) -> None:
        self._reached.set()
        assert self._open.wait(PATIENCE)

    def wait(self) -> None:
        assert self._reached.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()

    def at(self, text: str) -> Callable[[str], None]:
        """A model hook that stops where this text has been fed."""
        return lambda fed: self() if fed.endswith(text) and not self._reached.is_set() else None


class Bench:
    """An engine over the echo model, with short ways to talk to it."""

    def __init__(self, **options: Any) -> None:
        self.model = EchoModel(options.pop("max_context", 512))
        others = {name: options.pop(name) for name in ("clock", "adapters") if name in options}
        options = {"depth": 1, **options}  # who computes at once has nothing to overlap
        self.engine = Engine(
            self.model,
            wire.ModelInfo("echo", ("query",)),
            self.model.build,
            options=EngineOptions(**options),
            **others,
        )
        self.engine.start()
        self._count = 0

    def ask(self, question: str = "one two three", image: RawImage | None = None, **fields: Any) -> Sink:
        self._count += 1
        skill, sink = fields.pop("skill", "query"), fields.pop("sink", None) or Sink()
        sampling = Sampling(temperature=0.0, max_tokens=fields.pop("max_tokens", 100))
        text = {"query": {"question": question}, "caption": {}}.get(skill, {"object": question})
        request = EngineRequest(
            request_id=fields.pop("request_id", f"r{self._count}"),
            skill_request=SkillRequest(skill=skill, sampling=sampling, **text),
            image=image,
            **fields,
        )
        self.engine.submit(request, sink)
        return sink

    def gate(self, text: str) -> Gate:
        gate = Gate()
        self.model.hooks.append(gate.at(text))
        return gate


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        each.engine.shutdown()


@pytest.fixture
def new_sink() -> type[Sink]:
    return Sink


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def picture() -> Callable[[str], RawImage]:
    return lambda name: RawImage.of(np.full((30, 40, 3), ord(name), np.uint8))
