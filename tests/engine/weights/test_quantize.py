"""The int4 layout: the arithmetic, and a checkpoint in it is the model with the weights made dense."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.families import AnyConfig, family_of
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.tokens import Coord
from dreamscope.engine.weights.forms import forms_of
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files, load_model
from dreamscope.engine.weights.quantize import dequantise_int4, int4_shapes, regroup
from dreamscope.engine.weights.random import write_random_checkpoint

Tensors = dict[str, np.ndarray]
LINEARS = (
    "text.blocks.0.attn.qkv",
    "text.blocks.1.attn.proj",
    "text.blocks.1.mlp.fc1",
    "text.blocks.0.mlp.fc2",
)
REGION = "region.coord_decoder.fc2"


def _random(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = shape[0] * shape[1] // 128
    packed = rng.integers(0, 256, (groups // 2, 128), np.uint8)
    scale = rng.uniform(0.005, 0.02, (groups, 1)).astype(np.float32)
    return packed, scale, rng.uniform(6, 9, (groups, 1)).astype(np.float32)


def _reference(packed: np.ndarray, scale: np.ndarray, zero: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """With torch's own bfloat16, one group after the other."""
    groups = len(scale)
    rows = []
    for k in range(groups):
        row = packed[k % (groups // 2)]
        codes = row >> 4 if k < groups // 2 else row & 15
        values = torch.from_numpy(codes.astype(np.float32)).bfloat16()
        values -= torch.from_numpy(zero[k])
        values *= torch.from_numpy(scale[k])
        rows.append(values.float().numpy())
    return np.concatenate(rows).reshape(shape)


def test_it_rounds_twice_like_the_published_code() -> None:
    shape = (48, 64)
    parts = _random(shape, 3)
    bits = dequantise_int4(*parts, shape)
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(values, _reference(*parts, shape))


def test_weights_that_cannot_be_grouped_have_no_int4_form() -> None:
    assert int4_shapes("w", (3, 128)) == {}
    assert int4_shapes("w", (4, 64)) == {"w.packed": (1, 128), "w.scale": (2, 1), "w.zero_point": (2, 1)}


@pytest.fixture(scope="module")
def forms(checkpoint: Path) -> tuple[Tensors, Tensors]:
    """The same parameters with some linears in int4, and with these made dense."""
    stored = {k: v.astype(np.float32) for k, v in load_file(checkpoint / "model.safetensors").items()}
    packed, dense = dict(stored), dict(stored)
    for seed, name in enumerate((*LINEARS, REGION)):
        key = f"model.{name}.weight"
        shape = stored[key].shape
        parts = _random(shape, seed)
        del packed[key]
        for part, values in zip(("packed", "scale", "zero_point"), parts, strict=True):
            packed[f"{key}.{part}"] = values
        dense[key] = _reference(*parts, shape)
    return packed, dense


def _load(checkpoint: Path, path: Path, tensors: Tensors, device: Device) -> np.ndarray:
    save_file(tensors, path)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config["text"]["group_size"] = 128
    model = load_files(ModelFiles(path, checkpoint / "tokenizer.json", config), device)
    hidden = model.forward(model.embed([0, 1, 50, Coord(0.3)]), model.new_cache())
    return np.concatenate((model.logits(hidden), model.coord_logits(hidden)))


def test_an_int4_checkpoint_is_the_dense_model(
    checkpoint: Path, forms: tuple[Tensors, Tensors], cpu: Device, tmp_path: Path
) -> None:
    packed, dense = (
        _load(checkpoint, tmp_path / f"{i}.safetensors", form, cpu) for i, form in enumerate(forms)
    )
    np.testing.assert_array_equal(packed, dense)


KEY = f"model.{LINEARS[0]}.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(f"{KEY}.scale"), rf"lacks {LINEARS[0]}.weight.scale"),
        (lambda t: t.update({KEY: np.zeros((64, 32), np.float32)}), "twice: dense, and quantised"),
        (
            lambda t: t.update({f"{KEY}.packed": np.zeros((8, 128), np.float32)}),
            "dtype F32; U8|dtype F32; uint8",
        ),
        (lambda t: t.update({f"{KEY}.scale": np.zeros((8, 1), np.float32)}), r"shape \[8, 1\]"),
        (lambda t: t.update({"model.text.wte": np.zeros((290, 32), np.uint8)}), "dtype U8; float"),
    ],
)
def test_what_does_not_fit_is_named(
    checkpoint: Path, forms: tuple[Tensors, Tensors], cpu: Device, tmp_path: Path, change: object, words: str
) -> None:
    tensors = dict(forms[0])
    change(tensors)  # type: ignore[operator]
    with pytest.raises(WeightsInvalid, match=words):
        _load(checkpoint, tmp_path / "w.safetensors", tensors, cpu)


def test_regrouped_codes_are_the_same_numbers_unrounded() -> None:
    shape = (6, 256)
    packed, scale, zero = _random(shape, 4)
    matrices = regroup(packed, scale, zero, shape)
    assert matrices.codes.shape == (6, 32)
    assert matrices.scales.shape == matrices.biases.shape == (6, 2)
    codes = np.stack([matrices.codes >> np.uint32(4 * place) & 15 for place in range(8)], -1).reshape(shape)
    wide = [part.repeat(128, -1) for part in (matrices.scales, matrices.biases)]
    rounded = dequantise_int4(packed, scale, zero, shape)
    expected = (rounded.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(codes * wide[0] + wide[1], expected, atol=float(scale.max()) / 16)
    assert np.abs(codes * wide[0] + wide[1] - expected).max() > 0  # it is not rounded, and this can tell


@pytest.fixture(scope="module")
def wide_checkpoint(config: Moondream2Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All linears of the text blocks in int4. Rows are 128 long, which is a group, but those of `fc2` 56."""
    data = config.to_dict()
    data["text"].update(dim=128)
    data["vision"].update(proj_out_dim=128)
    data["region"].update(dim=128)
    config = Moondream2Config.from_dict(data)
    folder = write_random_checkpoint(config, tmp_path_factory.mktemp("wide"), seed=5)
    tensors = load_file(folder / "model.safetensors")
    for seed, key in enumerate(sorted(tensors)):
        if ".blocks." in key and "text" in key and key.endswith("weight") and tensors[key].ndim == 2:
            parts = _random(tensors.pop(key).shape, seed)
            for part, values in zip(("packed", "scale", "zero_point"), parts, strict=True):
                tensors[f"{key}.{part}"] = values
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_mlx_keeps_linears_packed_where_it_computes_in_16_bits(wide_checkpoint: Path, dtype: str) -> None:
    pytest.importorskip("mlx.core")
    device = open_device("mlx", dtype)
    blocks = load_model(wide_checkpoint, device).weights.text.blocks
    kept, dense = blocks[0].qkv.weight, blocks[0].mlp.fc2.weight  # type: ignore[union-attr]
    item = 4 if dtype == "float32" else 2
    assert dense.nbytes == 128 * 56 * item
    count = int(np.prod(kept.shape))
    assert kept.nbytes == (4 * count if dtype == "float32" else count // 2 + count // 128 * 8)


def test_packed_linears_are_as_near_as_dense_ones_of_16_bits(wide_checkpoint: Path) -> None:
    pytest.importorskip("mlx.core")

    def run(name: str, dtype: str) -> np.ndarray:
        model = load_model(wide_checkpoint, open_device(name, dtype))
        hidden = model.forward(model.embed([0, 1, 50, Coord(0.3), 77, 12, 200]), model.new_cache())
        return np.concatenate((model.logits(hidden), model.coord_logits(hidden)))

    exact = run("cpu", "float32")
    dense, packed = (np.abs(run(name, "bfloat16") - exact).max() for name in ("cpu", "mlx"))
    assert 0 < packed < 3 * dense
    assert packed < np.abs(exact).max() / 10


TEXT2 = [
    f"text.blocks.{i}.{site}.weight"
    for i in range(24)
    for site in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
]
REGION2 = ["coord_encoder", "coord_decoder.fc1", "coord_decoder.fc2"]
REGION2 += [name.replace("coord", "size") for name in REGION2]


@pytest.mark.parametrize(
    ("config", "linears"),
    [
        (Moondream2Config(), {*TEXT2, *(f"region.{name}.weight" for name in REGION2)}),
        # the layers from 4 on have experts, which have forms of their own
        (Moondream3Config(), {name for name in TEXT2 if ".attn." in name or int(name.split(".")[2]) < 4}),
    ],
)
def test_which_parameters_may_be_int4_groups(config: AnyConfig, linears: set[str]) -> None:
    """All linears of the text blocks, of Moondream 2 those of the region model too, and nothing else."""
    family = family_of(config)
    grouped = {
        name
        for name, shape in family.expected_shapes(config).items()
        if any(f"{name}.packed" in form.parts for form in forms_of(name, shape, family.is_quantisable(name)))
    }
    assert grouped == linears
