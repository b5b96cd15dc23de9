"""Adapter files: every form gives the same adapter, and whatever does not fit is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dreamscope.engine.errors import AdapterInvalid
from dreamscope.engine.models.moondream2.adapter import adapted_linears, canonical_adapter_name
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.weights.adapter import load_adapter

RANK = 3
Tensors = dict[str, torch.Tensor]
TRAINED = {
    "attn.qkv": "mixer.Wqkv",
    "attn.proj": "mixer.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def training_name(name: str) -> str:
    """`text.blocks.0.attn.qkv.A` as the training wrote it."""
    _, _, layer, group, linear, side = name.split(".")
    linear = TRAINED[f"{group}.{linear}"]
    return f"text_model.transformer.h.{layer}.{linear}.parametrizations.weight.0.{side}"


@pytest.fixture
def tensors(config: Any) -> Tensors:
    made: Tensors = {}
    generator = torch.Generator().manual_seed(5)
    for name, into, out in adapted_linears(config):
        for side, shape in (("A", (RANK, into)), ("B", (out, RANK))):
            values = 0.3 * torch.randn(shape, generator=generator)
            made[training_name(f"{name}.{side}")] = values.bfloat16().float()
    return made


def outputs(path: Path, model: Moondream2) -> np.ndarray:
    adapter = load_adapter(path, model)
    return model.logits(model.forward(model.embed([0, 1, 50, 60]), model.new_cache(), adapter))


def test_names_of_the_training() -> None:
    key = "text_model.transformer.h.11.mixer.Wqkv.parametrizations.weight.0.A"
    assert canonical_adapter_name(key) == "text.blocks.11.attn.qkv.A"
    assert canonical_adapter_name(training_name("text.blocks.2.attn.proj.B")) == "text.blocks.2.attn.proj.B"


@pytest.mark.parametrize("form", ["canonical", "bfloat16", "pt", "pt bfloat16", "pt nested", "pt parameters"])
def test_every_form_is_the_same_adapter(
    model: Moondream2, tensors: Tensors, tmp_path: Path, form: str
) -> None:
    save_file(tensors, tmp_path / "plain.safetensors")
    expected = outputs(tmp_path / "plain.safetensors", model)
    path = tmp_path / ("other.pt" if form.startswith("pt") else "other.safetensors")
    half = {key: value.bfloat16() for key, value in tensors.items()}
    if form == "canonical":
        save_file({canonical_adapter_name(key): value for key, value in tensors.items()}, path)
    elif form == "bfloat16":
        save_file(half, path)
    elif form == "pt":
        torch.save(tensors, path)
    elif form == "pt bfloat16":
        torch.save(half, path)
    elif form == "pt nested":
        torch.save({"lora_state_dict": tensors}, path)
    else:
        torch.save({key: torch.nn.Parameter(value) for key, value in tensors.items()}, path)
    np.testing.assert_array_equal(outputs(path, model), expected)
    plain = model.logits(model.forward(model.embed([0, 1, 50, 60]), model.new_cache()))
    assert np.abs(expected - plain).max() > 0.1


def test_the_digest_is_that_of_the_contents(model: Moondream2, tensors: Tensors, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths[:2]:
        save_file(tensors, path)
    save_file({key: value * 2 for key, value in tensors.items()}, paths[2])
    digests = [load_adapter(path, model).digest for path in paths]
    assert digests[0] == digests[1] != digests[2]


QKV = training_name("text.blocks.1.attn.qkv.A")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(QKV), r"it has no text\.blocks\.1\.attn\.qkv\.A; every linear of all 2 layers"),
        (
            lambda t: t.update({QKV: torch.zeros(RANK, 31)}),
            r"qkv\.A has the shape \[3, 31\] instead of \[rank, 32\]",
        ),
        (
            lambda t: t.update({QKV: torch.zeros(RANK + 1, 32)}),
            r"qkv\.B has the shape \[64, 3\] instead of \[64, 4\]",
        ),
        (lambda t: t.update({QKV: torch.zeros(32)}), r"qkv\.A has the shape \[32\]"),
        (lambda t: t.update({QKV: torch.zeros(0, 32)}), r"qkv\.A has the shape \[0, 32\]"),
        (lambda t: t.update({QKV: torch.zeros(RANK, 32, dtype=torch.uint8)}), r"integers instead of floats"),
        (
            lambda t: t.update({QKV.replace("h.1", "h.2"): torch.zeros(RANK, 32)}),
            r"blocks\.2\.attn\.qkv\.A, which",
        ),
        (
            lambda t: t.update({"text_lora.dense.0.up_a": torch.zeros(2)}),
            r"it holds text_lora\.dense\.0\.up_a",
        ),
        (lambda t: t.update({"text.blocks.1.attn.qkv.A": torch.zeros(RANK, 32)}), r"qkv\.A twice"),
    ],
)
def test_what_does_not_fit_is_named(
    model: Moondream2, tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], Any], words: str
) -> None:
    change(tensors)
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    with pytest.raises(AdapterInvalid, match=words):
        load_adapter(path, model)


class Harm:
    """What a hostile file would run on loading."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('the file was run')",))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.safetensors", b"", "not a safetensors file"),
        ("a.pt", b"", "not a torch file of plain tensors"),
        ("a.pt", b"PK\x03\x04 cut short", "not a torch file of plain tensors"),
        ("a.pt", pickle.dumps({"x": Harm()}, protocol=2), "not a torch file of plain tensors"),
        ("a.bin", b"x", r"must end in \.safetensors or \.pt"),
    ],
)
def test_damaged_and_hostile_files(
    model: Moondream2, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AdapterInvalid, match=words) as caught:
        load_adapter(path, model)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": 3}, "x is a int; float32"),
        ({"x": torch.zeros(2, dtype=torch.int64)}, r"x is a torch\.int64"),
        ([torch.zeros(2)], "holds a list, not a dict"),
    ],
)
def test_torch_files_that_hold_something_else(
    model: Moondream2, tmp_path: Path, content: Any, words: str
) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(AdapterInvalid, match=words):
        load_adapter(tmp_path / "a.pt", model)


def test_a_missing_file(model: Moondream2, tmp_path: Path) -> None:
    for name in ("a.pt", "a.safetensors"):
        with pytest.raises(AdapterInvalid, match="There is no"):
            load_adapter(tmp_path / name, model)
