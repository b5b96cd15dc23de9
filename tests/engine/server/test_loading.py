"""From settings to a running engine: what the settings reach."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.errors import AdapterNotFound, DeviceUnavailable
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.runtime.adapters import AdapterId
from dreamscope.engine.runtime.job import Batches, EngineRequest
from dreamscope.engine.server.loading import Loader
from dreamscope.engine.settings import load
from dreamscope.engine.skills.base import Sampling, SkillRequest


@pytest.fixture
def serve(checkpoint: Path) -> Any:
    made = []

    def start(**flags: str) -> Any:
        values = load(SETTINGS, "serve", {"device": "cpu", "dtype": "float32", **flags}, {})
        made.append(Loader(values).load(find_model(str(checkpoint)), lambda progress: None))
        return made[-1].engine

    yield start
    for serving in made:
        serving.engine.shutdown()


def request() -> EngineRequest:
    sampling = Sampling(temperature=0.0, max_tokens=1)
    return EngineRequest("r", SkillRequest("query", sampling, question="a"), adapter=AdapterId("dogs", "7"))


def test_adapters_are_looked_for_in_the_folder(serve: Any, tmp_path: Path) -> None:
    with pytest.raises(AdapterNotFound, match="the folder holds none"):
        serve(adapters=str(tmp_path)).submit(request(), lambda batch: None)
    (tmp_path / "dogs").mkdir()
    shutil.copyfile(__file__, tmp_path / "dogs" / "8.pt")
    with pytest.raises(AdapterNotFound, match=r"there are dogs@8\."):
        serve(adapters=str(tmp_path)).submit(request(), lambda batch: None)


def test_without_a_folder_there_are_none(serve: Any) -> None:
    with pytest.raises(AdapterNotFound, match="without a folder of adapters"):
        serve().submit(request(), lambda batch: None)


def test_the_simulated_device_needs_no_weights() -> None:
    values = load(SETTINGS, "serve", {"device": "sim", "depth": "2", "max_batch": "3"}, {})
    serving = Loader(values).load(find_model("sprite-2"), lambda progress: None)
    assert (serving.device, serving.model.id) == ("simulated", "sprite-2")
    ended = threading.Event()
    last: list[wire.Message] = []

    def deliver(batches: Batches) -> None:
        last.extend(batches[0][1])
        if isinstance(last[-1], wire.TERMINAL):
            ended.set()

    asked = SkillRequest("point", Sampling(temperature=0.0, max_objects=3), object="cat")
    serving.engine.submit(EngineRequest("r", asked), deliver)
    assert ended.wait(20)
    serving.engine.shutdown()
    assert isinstance(last[-1], wire.RequestDone)
    assert last[-1].metrics.depth == 2


def test_the_simulated_device_downloads_nothing() -> None:
    values = load(SETTINGS, "serve", {"device": "sim"}, {})
    with pytest.raises(DeviceUnavailable, match="sprite-2"):
        Loader(values).load(find_model("moondream-2"), lambda progress: None)
