"""Where the setting of the mask refiner leads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dreamscope.engine.config import SETTINGS
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.server.loading import Loader
from dreamscope.engine.settings import load
from dreamscope.engine.weights.progress import Progress
from dreamscope.engine.weights.random import write_random_checkpoint

TINY = Path(__file__).parents[2] / "data" / "golden" / "moondream3" / "tiny_a" / "config.json"
Load = Callable[..., list[Progress]]


@pytest.fixture
def outliner(tmp_path: Path) -> Path:
    """A model that draws outlines, with a block 8 in its vision encoder."""
    groups = json.loads(TINY.read_text("utf-8"))["config"]
    groups["vision"]["enc_n_layers"] = 9
    return write_random_checkpoint(Moondream3Config.from_dict(groups), tmp_path / "outliner")


@pytest.fixture
def loading() -> Iterator[Load]:
    made = []

    def start(folder: Path, **flags: str) -> list[Progress]:
        told: list[Progress] = []
        values = load(SETTINGS, "serve", {"device": "cpu", "dtype": "float32", **flags}, {})
        made.append(Loader(values).load(find_model(str(folder)), told.append))
        return told

    yield start
    for serving in made:
        serving.engine.shutdown()


def test_without_one_it_is_said(outliner: Path, loading: Load) -> None:
    messages = [progress.message for progress in loading(outliner)]
    assert messages[-1] == "No mask refiner: outlines stay as the model writes them"


def test_with_one_it_is_said(
    outliner: Path, loading: Load, random_head: Callable[..., dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    save_file(random_head(7, 32), tmp_path / "head.safetensors")
    messages = [
        progress.message for progress in loading(outliner, refiner=str(tmp_path / "head.safetensors"))
    ]
    assert messages[-1] == "Reading the mask refiner head.safetensors"


def test_one_that_is_not_there(outliner: Path, loading: Load, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"There is no mask refiner .*lost\.pt"):
        loading(outliner, refiner=str(tmp_path / "lost.pt"))


def test_one_of_another_model(
    outliner: Path, loading: Load, random_head: Callable[..., dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    torch.save({"head": random_head(7, 40)}, tmp_path / "model.pt")
    with pytest.raises(WeightsInvalid, match="is for 40 vision features; this model has 32"):
        loading(outliner, refiner=str(tmp_path / "model.pt"))


def test_a_model_without_outlines_needs_none(checkpoint: Path, loading: Load, tmp_path: Path) -> None:
    told = loading(checkpoint, refiner=str(tmp_path / "lost.pt"))
    assert not any("refiner" in progress.message for progress in told)
