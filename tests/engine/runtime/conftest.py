from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.crops import Crops
from dreamscope.engine.models.moondream2.config import Moondream2Config, TextConfig, VisionConfig
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, PromptItem, Size
from dreamscope.engine.runtime.engine import Engine
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


@dataclasses.dataclass
class FakeCache:
    capacity: int
    items: list[PromptItem] = dataclasses.field(default_factory=list)
    image_rows: int = 0

    @property
    def length(self) -> int:
        return self.image_rows + len(self.items)

    def copy_of_prefix(self, n: int, capacity: int) -> FakeCache:
        assert n == self.image_rows
        return FakeCache(capacity, [], n)

    def nbytes(self, itemsize: int) -> int:
        return self.capacity * itemsize


class EchoModel:
    """Answers a question with the question, and finds one object in the middle of every image.

    `hooks` run on the engine thread within each forward, with the text fed so far.
    """

    def __init__(self, max_context: int = 512) -> None:
        self.config = Moondream2Config(
            text=TextConfig(max_context=max_context),
            vision=VisionConfig(crop_size=28, enc_patch_size=14, overlap_margin=0),
        )
        self.tokenizer = ByteTokenizer()
        self.device = SimpleNamespace(
            dtype="float32", synchronize=lambda *results: None, inference=contextlib.nullcontext
        )
        self.calls: list[str] = []
        self.caches: list[FakeCache] = []
        self.hooks: list[Callable[[str], None]] = []
        self.on_crop: Callable[[np.ndarray], None] = lambda rgb: None
        self.on_encode: Callable[[], None] = lambda: None

    def crop(self, rgb: np.ndarray) -> Crops:
        self.calls.append("crop")
        self.on_crop(rgb)
        return Crops((1, 1), np.zeros((2, 28, 28, 3), np.uint8))

    def encode_image(self, crops: Crops) -> str:
        self.calls.append("encode")
        self.on_encode()
        return "rows"

    def new_cache(self, capacity: int) -> FakeCache:
        assert 0 < capacity <= self.config.text.max_context
        return FakeCache(capacity)

    def prefill_image(self, rows: str, cache: FakeCache, adapter: Any = None) -> None:
        assert rows == "rows"
        cache.image_rows = self.config.prefix_len

    def embed(self, prompt: Sequence[PromptItem]) -> list[PromptItem]:
        return list(prompt)

    def forward(self, embeds: list[PromptItem], cache: FakeCache, adapter: Any = None) -> list[PromptItem]:
        if cache not in self.caches:
            self.caches.append(cache)
        cache.items.extend(embeds)
        assert cache.length <= cache.capacity
        for hook in self.hooks:
            hook(self.tokenizer.decode(item for item in cache.items if isinstance(item, int)))
        return cache.items

    def logits(self, items: list[PromptItem]) -> np.ndarray:
        row = np.zeros(CONTROL_IDS + 256, np.float32)
        row[self._next(items)] = 1
        return row

    def coord_logits(self, items: list[PromptItem]) -> np.ndarray:
        return np.eye(1024, dtype=np.float32)[512]

    def size_logits(self, items: list[PromptItem]) -> np.ndarray:
        return np.eye(1024, dtype=np.float32)[[1023, 0]]

    def _next(self, items: list[PromptItem]) -> int:
        if any(isinstance(item, Size) for item in items) or sum(isinstance(i, Coord) for i in items) > 1:
            return 0
        end = len(items) - items[::-1].index(3)
        question = [item for item in items[: items.index(3)] if item in TEXT_IDS]
        said = items[end:]
        return question[len(said)] if len(said) < len(question) else 0


class Sink:
    """Collects the events of one request and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[wire.Message] = []
        self.batches = 0
        self._changed = threading.Condition()

    def __call__(self, batch: list[wire.Message]) -> None:
        with self._changed:
            self.events.extend(batch)
            self.batches += 1
            self._changed.notify_all()

    def wait_for(self, kind: Any) -> Any:
        """The first event of this class (or classes), waiting for it."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._first(kind), PATIENCE)
        assert found, f"no {kind} in {self.events}"
        return found

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
        self.engine = Engine(self.model, wire.ModelInfo("echo", ("query",)), **options)
        self.engine.start()
        self._count = 0

    def ask(self, question: str = "one two three", image: RawImage | None = None, **fields: Any) -> Sink:
        self._count += 1
        skill = fields.pop("skill", "query")
        sampling = Sampling(temperature=0.0, max_tokens=fields.pop("max_tokens", 100))
        text = {"query": {"question": question}, "caption": {}}.get(skill, {"object": question})
        request = EngineRequest(
            request_id=fields.pop("request_id", f"r{self._count}"),
            skill_request=SkillRequest(skill=skill, sampling=sampling, **text),
            image=image,
            **fields,
        )
        sink = Sink()
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
    return lambda digest: RawImage(np.zeros((30, 40, 3), np.uint8), digest)
