"""Spreads and token probabilities of whole requests, with recorded weights of both families.

The model is told what to say; how sure it was, and of which numbers, is read from its own logits.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamscope.engine import wire
from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.tokens import size_values
from dreamscope.engine.runtime import spread as readings
from dreamscope.engine.runtime.engine import Engine, EngineRequest
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.runtime.row_runner import RowRunner
from dreamscope.engine.server.state import Accumulated
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.verify.golden import GoldenSet, open_golden
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
SETS = {"moondream2": "moondream2/grid8_gqa", "moondream3": "moondream3/tiny_a"}
FIELDS = {"spread", "spreads", "probs"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "query": {"question": "what is left of the cat?", "reasoning": True},
    "caption": {},
    "point": {"object": "red ball"},
    "detect": {"object": "red ball"},
    "segment": {"object": "cat"},
    "gaze": {"eye": (0.5, 0.25)},
    "gaze of a face": {"face": (0.4, 0.2, 0.6, 0.4)},
}
FAMILY_SKILLS = [
    (family, skill) for family in SETS for skill in ARGUMENTS if (family, skill) != ("moondream2", "segment")
]


class Steered(Model):
    """The same parameters; text decisions follow a script, and all logits that were read are kept."""

    def __init__(self, model: Model, script: list[int]) -> None:
        super().__init__(model.config, model.device, model.weights, model.tokenizer)
        self.script = script
        self.texts: list[np.ndarray] = []
        self.coords: list[np.ndarray] = []
        self.sizes: list[np.ndarray] = []

    def logits(self, hidden: Any) -> np.ndarray:
        row = super().logits(hidden).copy()
        row[self.script[len(self.texts)]] = row.max() + 0.5
        self.texts.append(row)
        return row

    def coord_logits(self, hidden: Any) -> np.ndarray:
        self.coords.append(super().coord_logits(hidden))
        return self.coords[-1]

    def size_logits(self, hidden: Any) -> np.ndarray:
        self.sizes.append(super().size_logits(hidden))
        return self.sizes[-1]


@dataclass
class Run:
    """What a request gave, and the model that it asked."""

    model: Steered
    events: list[Any]

    @property
    def output(self) -> dict[str, Any]:
        return self.events[-1].output

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def probs(self, kind: type) -> list[Any]:
        return [pair for event in self.of(kind) for pair in event.probs or ()]

    def json(self) -> list[dict[str, Any]]:
        """The events as they go out, without the times."""
        encoded = [json.loads(wire.encode(event)) for event in self.events]
        return [{k: v for k, v in event.items() if k not in ("t", "metrics")} for event in encoded]


def probabilities(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def by_hand(logits: np.ndarray, value: Callable[[int], float]) -> dict[str, Any]:
    """The spread of the best bin, bin by bin."""
    p = probabilities(logits)
    reached = {}
    for share in (0.16, 0.84, 0.025, 0.975):
        total, at = p[0], 0
        while total < share:
            at += 1
            total += p[at]
        reached[share] = value(at)
    return {
        "p": pytest.approx(p[logits.argmax()], rel=1e-9),
        "i68": [reached[0.16], reached[0.84]],
        "i95": [reached[0.025], reached[0.975]],
    }


def places(model: Steered) -> list[dict[str, Any]]:
    """The spreads of the coordinates that the model decoded, two by two."""
    steps = np.float32(model.config.region.coord_steps)
    axes = [by_hand(row, lambda bin_: float(np.float32(bin_) / steps)) for row in model.coords]
    return [{"x": x, "y": y} for x, y in zip(axes[::2], axes[1::2], strict=True)]


def boxes(model: Steered) -> list[dict[str, Any]]:
    def size(bin_: int) -> float:
        return float(size_values(np.array([bin_]))[0])

    extents = [{"w": by_hand(w, size), "h": by_hand(h, size)} for w, h in model.sizes]
    return [{**place, **extent} for place, extent in zip(places(model), extents, strict=False)]


def stripped(value: Any) -> Any:
    """Without all that uncertainty adds."""
    if isinstance(value, dict):
        return {key: stripped(item) for key, item in value.items() if key not in FIELDS}
    return [stripped(item) for item in value] if isinstance(value, list) else value


@functools.cache
def golden(family: str) -> GoldenSet:
    return open_golden(GOLDEN / SETS[family])


@pytest.fixture(scope="module")
def load(cpu: Device) -> Callable[[str], Model]:
    @functools.cache
    def make(family: str) -> Model:
        folder, config = golden(family).folder, {"config": golden(family).data["config"]}
        files = ModelFiles(folder / "weights.safetensors", folder / "tokenizer.json", config)
        return load_files(files, cpu)

    return make


def script(model: Model, skill: str) -> list[int]:
    """What the model is made to say: two of everything that can be more than one."""
    ids = model.config.tokenizer
    encode = model.tokenizer.encode
    number, end = ids.coord_id, ids.eos_id
    if skill == "query":
        span = [ids.start_ground_points_id, *encode("the cat"), number, number, ids.end_ground_id]
        return [*encode("I see "), *span, *encode(" and 🐕 "), *span, ids.answer_id, *encode("é here"), end]
    if skill == "segment":
        path = [token for word in ("M", "1", "2", "L", "3", "4", "Z") for token in encode(word)]
        return [number, number, ids.size_id, *path, end]
    if skill == "gaze of a face":
        return [number] * 20
    said = {
        "caption": [*encode("a red ball on 草 grass"), end],
        "point": [number, number, end],
        "detect": [number, number, end],
        "gaze": [number],
    }
    return said[skill]


@pytest.fixture
def ask(load: Callable[[str], Model], new_sink: Any) -> Iterator[Callable[..., Run]]:
    started: list[Engine] = []

    def run(family: str, skill: str, uncertainty: bool) -> Run:
        model = load(family)
        steered = Steered(model, script(model, skill))
        first = sorted(golden(family).data["images"])[0] if family == "moondream2" else 0
        engine = Engine(
            steered, wire.ModelInfo(family, tuple(wire.RESULTS)), functools.partial(RowRunner, steered)
        )
        started.append(engine)
        engine.start()
        request = SkillRequest(
            skill=skill.split()[0],
            sampling=Sampling(temperature=0.0, seed=1),
            uncertainty=uncertainty,
            **ARGUMENTS[skill],
        )
        sink = new_sink()
        engine.submit(EngineRequest("r", request, RawImage(golden(family).rgb(first), "digest")), sink)
        done = sink.end()
        assert isinstance(done, wire.RequestDone), done
        return Run(steered, sink.events)

    yield run
    for engine in started:
        engine.shutdown()


@pytest.mark.parametrize(("family", "skill"), FAMILY_SKILLS)
def test_it_adds_to_what_is_said_and_changes_none_of_it(
    family: str, skill: str, ask: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    def counted(logits: np.ndarray) -> np.ndarray:
        computed.append(1)
        return probabilities(logits)

    monkeypatch.setattr(readings, "softmax", counted)
    plain = ask(family, skill, uncertainty=False)
    assert computed == []
    assert stripped(plain.json()) == plain.json()
    told = ask(family, skill, uncertainty=True)
    assert stripped(told.json()) == plain.json()
    assert len(computed) == len(told.model.texts) + len(told.model.coords) + 2 * len(told.model.sizes)


@pytest.mark.parametrize("family", SETS)
def test_points(family: str, ask: Callable[..., Run]) -> None:
    run = ask(family, "point", uncertainty=True)
    expected = places(run.model)
    assert len(expected) == 2
    assert [wire.to_json(event.spread) for event in run.of(wire.PointEvent)] == expected
    assert [point["spread"] for point in run.output["points"]] == expected


@pytest.mark.parametrize("family", SETS)
def test_boxes_and_their_centres(family: str, ask: Callable[..., Run]) -> None:
    run = ask(family, "detect", uncertainty=True)
    expected = boxes(run.model)
    assert len(expected) == 2
    assert [wire.to_json(event.spread) for event in run.of(wire.BoxCenter)] == places(run.model)
    assert [wire.to_json(event.spread) for event in run.of(wire.BoxEvent)] == expected
    assert [box["spread"] for box in run.output["objects"]] == expected


@pytest.mark.parametrize("family", SETS)
def test_the_spans_of_a_reasoning(family: str, ask: Callable[..., Run]) -> None:
    run = ask(family, "query", uncertainty=True)
    expected = places(run.model)
    assert [wire.to_json(event.spread) for event in run.of(wire.SpanPoint)] == expected
    assert [wire.to_json(event.spreads) for event in run.of(wire.SpanClose)] == [[each] for each in expected]
    (done,) = run.of(wire.ReasoningDone)
    assert [wire.to_json(ground.spreads) for ground in done.grounding] == [[each] for each in expected]
    assert run.output["reasoning"]["grounding"] == wire.to_json(done.grounding)


@pytest.mark.parametrize("family", SETS)
def test_gaze_has_a_spread_and_an_average_has_none(family: str, ask: Callable[..., Run]) -> None:
    run = ask(family, "gaze", uncertainty=True)
    (expected,) = places(run.model)
    (event,) = run.of(wire.GazeEvent)
    assert wire.to_json(event.spread) == run.output["gaze"]["spread"] == expected
    (average,) = ask(family, "gaze of a face", uncertainty=True).of(wire.GazeEvent)
    assert average.spread is None


def test_the_box_of_a_segment(ask: Callable[..., Run]) -> None:
    run = ask("moondream3", "segment", uncertainty=True)
    (expected,) = boxes(run.model)
    (event,) = run.of(wire.MaskBox)
    (done,) = run.of(wire.MaskDone)
    assert wire.to_json(event.spread) == run.output["bbox"]["spread"] == expected
    assert wire.to_json(done.bbox) == run.output["bbox"]


@pytest.mark.parametrize(("family", "skill"), [(f, s) for f in SETS for s in ("query", "caption")])
def test_the_probability_of_every_text_token(family: str, skill: str, ask: Callable[..., Run]) -> None:
    run = ask(family, skill, uncertainty=True)
    texts = [(run.probs(wire.TextDelta), run.output["answer" if skill == "query" else "caption"])]
    assert wire.to_json(texts[0][0]) == run.output["probs"]
    if skill == "query":
        reasoning = run.output["reasoning"]
        texts.insert(0, (run.probs(wire.ReasoningDelta), reasoning["text"]))
        (done,) = run.of(wire.ReasoningDone)
        assert wire.to_json(texts[0][0]) == wire.to_json(done.probs) == reasoning["probs"]
    model, ids = run.model, run.model.config.tokenizer
    silent = {ids.coord_id, ids.start_ground_points_id, ids.end_ground_id, ids.answer_id, ids.eos_id}
    expected = [
        probabilities(row)[token]
        for token, row in zip(model.script, model.texts, strict=True)
        if token not in silent
    ]
    assert [p for pairs, _ in texts for _, p in pairs] == pytest.approx(expected, rel=1e-9)
    for pairs, text in texts:
        assert sum(added for added, _ in pairs) == len(text)
    assert any(added == 0 for pairs, _ in texts for added, _ in pairs), "no character of several tokens"


@pytest.mark.parametrize(("family", "skill"), FAMILY_SKILLS)
def test_a_snapshot_holds_what_the_result_does(family: str, skill: str, ask: Callable[..., Run]) -> None:
    run = ask(family, skill, uncertainty=True)
    folded = Accumulated()
    for event in run.events:
        folded.feed(event)
    state = folded.state()
    if skill in ("query", "caption"):
        assert state["probs"] == run.output["probs"]
    for key, part in {"points": "points", "objects": "boxes", "gaze": "gaze"}.items():
        assert state[part] == run.output.get(key, [] if part != "gaze" else None)
    if skill == "query":
        assert {k: v for k, v in state["reasoning"].items() if k != "open"} == run.output["reasoning"]
    if skill == "segment":
        assert state["mask"]["bbox"] == run.output["bbox"]
