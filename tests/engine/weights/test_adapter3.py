"""Adapters of Moondream 3: the recorded one in every form, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import AdapterInvalid
from dreamscope.engine.models.base import Model
from dreamscope.engine.weights.adapter import load_adapter
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

SET = Path(__file__).parents[2] / "data/golden/moondream3/tiny_b"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model3(device: Device) -> Model:
    config = json.loads((SET / "config.json").read_text(encoding="utf-8"))
    return load_files(ModelFiles(SET / "weights.safetensors", SET / "tokenizer.json", config), device)


@pytest.fixture
def tensors() -> Tensors:
    return load_file(SET / "adapter.safetensors")


def outputs(model: Model, path: Path | None) -> np.ndarray:
    adapter = None if path is None else load_adapter(path, model)
    return model.logits(model.forward(model.embed([0, 1, 50, 60]), model.new_cache(), adapter))


@pytest.mark.parametrize("form", ["pt", "pt nested", "below _text", "both", "with vision"])
def test_every_form_is_the_same_adapter(model3: Model, tensors: Tensors, tmp_path: Path, form: str) -> None:
    path = tmp_path / ("a.pt" if form.startswith("pt") else "a.safetensors")
    below = {key.replace("text_lora.", "_text."): value.clone() for key, value in tensors.items()}
    vision = {"vision_lora.proj_fc2.down": torch.ones(2, 96), "_vision.proj_fc2.up": torch.ones(80, 2)}
    if form == "pt":
        torch.save(tensors, path)
    elif form == "pt nested":
        torch.save({"lora_state_dict": tensors}, path)
    else:
        forms = {"below _text": below, "both": {**tensors, **below}, "with vision": {**tensors, **vision}}
        save_file(forms[form], path)
    actual = outputs(model3, path)
    np.testing.assert_allclose(actual, outputs(model3, SET / "adapter.safetensors"), atol=1e-6)
    assert np.abs(actual - outputs(model3, None)).max() > 0.1


def test_layers_may_be_left_alone(model3: Model, tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({key: value for key, value in tensors.items() if ".moe.2.up" in key}, path)
    assert [set(block) for block in load_adapter(path, model3).blocks] == [set(), set(), set(), {"fc1"}]
    assert np.abs(outputs(model3, path) - outputs(model3, None)).max() > 1e-3


def without_partner(tensors: Tensors) -> None:
    del tensors["text_lora.moe.0.up_b"]


def wider(tensors: Tensors) -> None:
    tensors["text_lora.dense.0.up_a"] = torch.ones(6, 81)


def other_rank(tensors: Tensors) -> None:
    tensors["text_lora.moe.1.down_b"] = torch.ones(6, 80, 3)


def another_layer(tensors: Tensors) -> None:
    tensors["text_lora.moe.3.up_a"] = torch.ones(6, 2, 80)
    tensors["text_lora.moe.3.up_b"] = torch.ones(6, 64, 2)


def integers(tensors: Tensors) -> None:
    tensors["text_lora.dense.0.up_a"] = tensors["text_lora.dense.0.up_a"].to(torch.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_partner, r"text\.blocks\.1\.mlp\.fc1\.A without its partner"),
        (wider, r"fc1\.A has the shape \[6, 81\] instead of \[rank, 80\]"),
        (other_rank, r"fc2\.B has the shape \[6, 80, 3\] instead of \[6, 80, rank\]"),
        (another_layer, r"text\.blocks\.4\.mlp\.fc1\.A, which the model with its 4 layers does not have"),
        (integers, "integers instead of floats"),
        (dict.clear, "it is empty"),
    ],
)
def test_what_does_not_fit_is_named(
    model3: Model, tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], None], message: str
) -> None:
    change(tensors)
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(AdapterInvalid, match=message):
        load_adapter(tmp_path / "a.safetensors", model3)
