"""The mask refiner within a request: what is told, and what happens where it fails.

The model has recorded weights and is made to say a path; the head has random numbers.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.runtime.engine import Engine, EngineOptions
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.job import EngineRequest
from dreamscope.engine.runtime.refiner import MaskRefiner
from dreamscope.engine.runtime.row_runner import RowRunner
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files
from dreamscope.engine.weights.refiner import load_refiner

FOLDER = Path(__file__).parents[2] / "data" / "golden" / "moondream3" / "tiny_a"
CENTRE, WIDE = 512, 1000
WORDS = ("M", "120", "120", "L", "840", "120", "840", "840", "120", "840", "Z")
PATH = "M 0.125 0.125 L 0.875 0.125 0.875 0.875 0.125 0.875 Z"
FINER = ("M 0 0 L 1 0 0.5 1 Z", wire.Box(0.25, 0.25, 0.75, 0.5))
Refine = Callable[[NDArray[np.uint8], str, wire.Box], Any]


class Outlining(Model):
    """The same parameters; it says a box in the middle and a path."""

    def __init__(self, model: Model, words: tuple[str, ...]) -> None:
        super().__init__(model.config, model.device, model.weights, model.tokenizer)
        ids = model.config.tokenizer
        said = [token for word in words for token in model.tokenizer.encode(word)]
        self._script = cycle([ids.coord_id, ids.coord_id, ids.size_id, *said, ids.eos_id])

    def logits(self, hidden: Any) -> NDArray[np.float32]:
        return np.eye(self.config.text.vocab_size, dtype=np.float32)[next(self._script)]

    def coord_logits(self, hidden: Any) -> NDArray[np.float32]:
        return np.eye(1024, dtype=np.float32)[CENTRE]

    def size_logits(self, hidden: Any) -> NDArray[np.float32]:
        return np.eye(1024, dtype=np.float32)[[WIDE, WIDE]]


@dataclass
class Stub:
    """A refiner that does what it is told, and remembers what it was asked."""

    answer: Refine
    asked: list[tuple[tuple[int, ...], str, wire.Box]]

    def refine(self, rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> Any:
        self.asked.append((rgb.shape, path, bbox))
        return self.answer(rgb, path, bbox)


@dataclass
class Told:
    """The events of a request, and its result."""

    events: list[Any]

    @property
    def result(self) -> wire.SegmentResult:
        result = wire.result_from_json("segment", self.events[-1].output)
        assert isinstance(result, wire.SegmentResult)
        return result

    @property
    def mask(self) -> wire.MaskDone:
        (done,) = (event for event in self.events if isinstance(event, wire.MaskDone))
        return done

    @property
    def streamed(self) -> str:
        return "".join(event.delta for event in self.events if isinstance(event, wire.MaskDelta))


@pytest.fixture(scope="module")
def tiny(cpu: Device) -> Model:
    config = json.loads((FOLDER / "config.json").read_text("utf-8"))
    return load_files(ModelFiles(FOLDER / "weights.safetensors", FOLDER / "tokenizer.json", config), cpu)


@pytest.fixture
def segment(tiny: Model, new_sink: Any) -> Iterator[Callable[..., Told]]:
    started: list[Engine] = []

    def run(
        refiner: Any = None,
        words: tuple[str, ...] = WORDS,
        max_tokens: int = 200,
        sink: Any = None,
        **asked: Any,
    ) -> Told:
        outlining = Outlining(tiny, words)
        engine = Engine(
            outlining, wire.ModelInfo("tiny", ("segment",)), partial(RowRunner, outlining), refiner=refiner
        )
        started.append(engine)
        engine.start()
        rgb = np.random.default_rng(3).integers(0, 256, (70, 110, 3), np.uint8)
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        request = SkillRequest("segment", sampling, object="cat", **asked)
        sink = sink or new_sink()
        engine.submit(EngineRequest("r", request, RawImage(rgb, "digest")), sink)
        assert isinstance(sink.end(), wire.RequestDone), sink.events
        return Told(sink.events)

    yield run
    for engine in started:
        engine.shutdown()


@pytest.fixture
def stub() -> Callable[[Refine], Stub]:
    return lambda answer: Stub(answer, [])


def test_refined_and_coarse_are_told(segment: Any, stub: Any) -> None:
    coarse = segment()
    refiner = stub(lambda rgb, path, bbox: FINER)
    told = segment(refiner)
    assert not coarse.result.refined
    assert coarse.result.path == coarse.mask.path == coarse.mask.coarse_path == PATH
    assert refiner.asked == [((70, 110, 3), PATH, coarse.result.bbox)]
    assert told.result == wire.SegmentResult(*FINER, refined=True)
    assert (told.mask.path, told.mask.bbox) == FINER
    assert (told.mask.coarse_path, told.mask.coarse_bbox) == (PATH, coarse.result.bbox)
    assert told.streamed == coarse.streamed == PATH
    assert [type(event) for event in told.events] == [type(event) for event in coarse.events]
    assert isinstance(told.events[-2], wire.MaskDone)


def test_the_coarse_path_is_told_before_it_is_refined(segment: Any, stub: Any, new_sink: Any) -> None:
    """A refiner may take a second; what the model wrote does not wait for it."""
    sink = new_sink()
    seen: list[wire.Message] = []

    def answer(rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> tuple[str, wire.Box]:
        seen.extend(sink.events)
        return FINER

    told = segment(stub(answer), sink=sink)
    assert Told(seen).streamed == PATH
    assert seen == told.events[:-2]


@pytest.fixture
def slow(tiny: Model, stub: Any) -> Iterator[Any]:
    """An engine whose refiner waits for `go`."""
    go = threading.Event()

    def answer(rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> tuple[str, wire.Box]:
        assert go.wait(20)
        return FINER

    outlining, refiner = Outlining(tiny, WORDS), stub(answer)
    engine = Engine(
        outlining,
        wire.ModelInfo("tiny", ("segment",)),
        partial(RowRunner, outlining),
        options=EngineOptions(depth=1),  # no step beyond the end of the script
        refiner=refiner,
    )
    engine.start()
    yield engine, go
    go.set()
    engine.shutdown()


def a_cat(name: str) -> EngineRequest:
    asked = SkillRequest("segment", Sampling(temperature=0.0, max_tokens=200), object="cat")
    return EngineRequest(name, asked, RawImage.of(np.zeros((70, 110, 3), np.uint8)))


def test_nobody_waits_for_the_refiner_of_another(slow: Any, new_sink: Any) -> None:
    engine, go = slow
    sinks = [new_sink(), new_sink()]
    for name, sink in zip("ab", sinks, strict=True):
        engine.submit(a_cat(name), sink)
        sink.wait_until(lambda sink=sink: Told(sink.events).streamed == PATH)
        assert not sink.of((wire.MaskDone, wire.RequestDone))
    engine.cancel("a")  # too late: it is decoded
    go.set()
    assert [Told(sink.events).result.refined for sink in sinks if sink.end()] == [True, True]


def test_at_the_end_the_outline_is_told_as_it_is(slow: Any, new_sink: Any) -> None:
    engine, go = slow
    sink = new_sink()
    engine.submit(a_cat("a"), sink)
    sink.wait_until(lambda: Told(sink.events).streamed == PATH)
    ending = threading.Thread(target=engine.shutdown)
    ending.start()
    assert isinstance(sink.end(), wire.RequestDone)
    assert Told(sink.events).mask.path == PATH
    assert not Told(sink.events).result.refined
    go.set()
    ending.join(20)
    assert not ending.is_alive()


def test_spreads_stay_with_the_box_that_they_belong_to(segment: Any, stub: Any) -> None:
    told = segment(stub(lambda rgb, path, bbox: FINER), uncertainty=True)
    assert told.result.bbox == FINER[1]
    assert told.mask.coarse_bbox is not None
    assert told.mask.coarse_bbox.spread is not None


def _failing(rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> None:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("answer", "why"),
    [(_failing, "out of memory"), (lambda rgb, path, bbox: None, "found no outline")],
)
def test_a_failure_leaves_the_outline(
    segment: Any, stub: Any, caplog: pytest.LogCaptureFixture, answer: Refine, why: str
) -> None:
    with caplog.at_level(logging.WARNING, "dreamscope.engine.runtime.refiner"):
        told = segment(stub(answer))
    assert why in caplog.text
    assert (told.result.path, told.result.refined) == (PATH, False)
    assert told.mask.path == told.mask.coarse_path == PATH
    assert told.mask.bbox == told.mask.coarse_bbox == told.result.bbox


def test_no_outline_is_not_refined(segment: Any, stub: Any) -> None:
    refiner = stub(lambda rgb, path, bbox: FINER)
    told = segment(refiner, words=("9", "M"))
    assert told.result.parse_error
    assert not told.result.refined
    assert refiner.asked == []


def test_an_outline_that_was_cut_short_is_refined_too(segment: Any, stub: Any) -> None:
    told = segment(stub(lambda rgb, path, bbox: FINER), max_tokens=10)
    assert told.events[-1].finish_reason == "length"
    assert told.result.refined
    assert told.mask.coarse_path == "M 0.125 0.125 L 0.875 0.125"


def test_a_random_head_from_its_file(
    segment: Any, tiny: Model, random_head: Callable[..., dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """All of it: rasterised, seen by the vision encoder, five steps of the head, cleaned and traced."""
    v = tiny.config.vision
    head = random_head(v.grid, v.enc_dim)
    torch.save({"head": head}, tmp_path / "model.pt")
    weights = load_refiner(tmp_path / "model.pt", tiny, early_block=2)
    refiner = MaskRefiner(tiny, weights, early_block=2)
    told = segment(refiner)
    expected = refiner.refine(
        np.random.default_rng(3).integers(0, 256, (70, 110, 3), np.uint8), PATH, segment().result.bbox
    )
    assert expected is not None
    assert told.result == wire.SegmentResult(*expected, refined=True)
    assert told.mask.coarse_path == PATH
    assert told.result.path != PATH
