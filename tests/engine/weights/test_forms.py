"""Quantised, joined and sharded checkpoints of Moondream 3 give the parameters that they stand for."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.weights import expected_shapes
from dreamscope.engine.weights.experts import e4m3_values, unpack_int4
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.memory import memory_need
from dreamscope.engine.weights.progress import Progress
from dreamscope.engine.weights.random import write_random_checkpoint
from dreamscope.engine.weights.random_shards import write_random_shards

Tensors = dict[str, torch.Tensor]
FC1, FC2 = "text.blocks.1.mlp.fc1.weight", "text.blocks.1.mlp.fc2.weight"
H = "text_model.transformer.h.1."


@pytest.fixture(scope="module")
def config3() -> Moondream3Config:
    moe = {"num_experts": 3, "start_layer": 1, "experts_per_token": 2, "expert_inner_dim": 64}
    vision = {"enc_dim": 4, "enc_patch_size": 2, "enc_n_layers": 1, "enc_ff_dim": 5, "enc_n_heads": 1}
    text = {"dim": 64, "ff_dim": 8, "n_layers": 2, "vocab_size": 280, "n_heads": 2, "max_context": 40}
    return Moondream3Config.from_dict(
        {
            "text": {**text, "moe": moe},
            "vision": {
                **vision,
                "proj_out_dim": 64,
                "crop_size": 6,
                "overlap_margin": 1,
                "proj_inner_dim": 3,
            },
            "region": {"dim": 64, "coord_feat_dim": 6, "size_feat_dim": 8},
            "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
        }
    )


@pytest.fixture
def folder(config3: Moondream3Config, tmp_path: Path) -> Path:
    return write_random_checkpoint(config3, tmp_path / "model", seed=2)


@pytest.fixture
def tensors(folder: Path) -> Tensors:
    return {
        key.removeprefix("model."): value.float()
        for key, value in load_file(folder / "model.safetensors").items()
    }


@pytest.fixture(params=[True, False], ids=["kept", "dense"])
def either(request: pytest.FixtureRequest, device: Device) -> Device:
    """A device that keeps quantised experts as they are, and one that does not."""
    if request.param:
        return device
    plain = copy.copy(device)
    plain.keeps = frozenset()
    return plain


def rewrite(folder: Path, tensors: Tensors) -> Path:
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")
    return folder


def experts(model: Model) -> list[np.ndarray]:
    mlp: Any = model.weights.text.blocks[1].mlp
    return [matrices(model.device, stack) for stack in (mlp.fc1, mlp.fc2)]


def matrices(device: Device, stack: Any) -> np.ndarray:
    """What every expert makes of the unit vectors: its matrix, in whatever form it is kept."""
    count, _, into = stack.shape
    units = device.array(np.eye(into, dtype=np.float32)[:, None])
    ids = device.array(np.tile(np.arange(count), (into, 1)))
    return device.numpy(device.permute(device.expert_linear(units, stack, ids), (1, 2, 0)))


def kept_bytes(model: Model) -> int:
    mlp: Any = model.weights.text.blocks[1].mlp
    return int(mlp.fc1.nbytes) + int(mlp.fc2.nbytes)


def test_every_byte_as_an_8_bit_float() -> None:
    expected = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(e4m3_values(), expected)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.uint8])
def test_fp8_experts(folder: Path, tensors: Tensors, either: Device, dtype: torch.dtype) -> None:
    expected = []
    for key, weight, scale in ((FC1, "mlp.experts.weight", "up"), (FC2, "mlp.output_experts.weight", "down")):
        dense = tensors.pop(key)
        scales = dense.abs().amax(-1) / 448
        codes = (dense / scales[..., None]).to(torch.float8_e4m3fn)
        tensors[f"{H}{weight}"] = codes.view(dtype)
        tensors[f"{H}moe_quant.{scale}_scale"] = scales
        expected.append((codes.float() * scales[..., None]).numpy())
    model = load_model(rewrite(folder, tensors), either)
    for actual, wanted in zip(experts(model), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)
    numbers = sum(wanted.size for wanted in expected)
    assert (kept_bytes(model) < 2 * numbers) is ("fp8" in either.keeps)


def test_four_bit_experts(folder: Path, tensors: Tensors, either: Device) -> None:
    generator = torch.Generator().manual_seed(1)
    expected = []
    for key, name in ((FC1, "fc1"), (FC2, "fc2")):
        shape = tensors.pop(key).shape
        codes = torch.randint(0, 16, shape, generator=generator, dtype=torch.int64)
        scales = torch.rand((*shape[:2], shape[2] // 64), generator=generator)
        biases = torch.rand(scales.shape, generator=generator) - 0.5
        packed = sum(codes[..., place::8] << (4 * place) for place in range(8))
        stem = f"text.blocks.1.mlp.{name}"
        tensors[f"{stem}_q"] = torch.from_numpy(np.asarray(packed).astype(np.uint32))
        tensors[f"{stem}_scales"], tensors[f"{stem}_biases"] = scales, biases
        wide = [part.repeat_interleave(64, -1) for part in (scales, biases)]
        expected.append((codes * wide[0] + wide[1]).numpy())
    model = load_model(rewrite(folder, tensors), either)
    for actual, wanted in zip(experts(model), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)
    numbers = sum(wanted.size for wanted in expected)
    assert (kept_bytes(model) < numbers) is ("int4" in either.keeps)


def test_rows_that_no_kernel_takes_are_made_dense(
    config3: Moondream3Config, tmp_path: Path, device: Device
) -> None:
    moe = dataclasses.replace(config3.text.moe, expert_inner_dim=20)
    config = dataclasses.replace(config3, text=dataclasses.replace(config3.text, moe=moe))
    stacks = []
    for form in ("fp8", "bfloat16"):
        model = load_model(write_random_shards(config, tmp_path / form, form), device)
        stacks.append(experts(model))
        mlp: Any = model.weights.text.blocks[1].mlp
        assert mlp.fc2.nbytes == 4 * 3 * 64 * 20
    for quantised, plain in zip(*stacks, strict=True):
        assert quantised.shape == plain.shape
        np.testing.assert_allclose(quantised.std(), plain.std(), rtol=0.05)
    stack = load_file(tmp_path / "fp8" / "model-00001-of-00001.safetensors")
    codes, scales = stack[f"{H}mlp.output_experts.weight"], stack[f"{H}moe_quant.down_scale"]
    np.testing.assert_allclose(stacks[0][1], (codes.float() * scales[..., None]).numpy(), atol=1e-7)


def test_the_need_that_is_reported_counts_what_is_kept(
    folder: Path, tensors: Tensors, config3: Moondream3Config, either: Device
) -> None:
    for key, name in ((FC1, "fc1"), (FC2, "fc2")):
        shape = tensors.pop(key).shape
        stem = f"text.blocks.1.mlp.{name}"
        tensors[f"{stem}_q"] = torch.zeros((*shape[:2], shape[2] // 8), dtype=torch.uint32)
        tensors[f"{stem}_scales"] = torch.ones((*shape[:2], shape[2] // 64))
        tensors[f"{stem}_biases"] = torch.ones((*shape[:2], shape[2] // 64))
    reports: list[Progress] = []
    load_model(rewrite(folder, tensors), either, reports.append)
    stacks = sum(math.prod(expected_shapes(config3)[key]) for key in (FC1, FC2))
    # with float32 scales and biases, 4 + 64 / 64 bits a number
    spared = 4 * stacks - 5 * stacks // 8 if "int4" in either.keeps else 0
    dense = memory_need(config3, "float32")
    assert str(memory_need(config3, "float32", dense.weights - spared)) in reports[0].message


def test_the_lowest_bits_come_first() -> None:
    codes = np.array([[0x76543210] + [0] * 7], np.uint32)
    dense = unpack_int4(codes, np.array([[2.0]], np.float32), np.array([[-1.0]], np.float32))
    np.testing.assert_array_equal(dense[0, :9], [-1, 1, 3, 5, 7, 9, 11, 13, -1])


def test_joined_tau(folder: Path, tensors: Tensors, device: Device) -> None:
    wq, wv = (tensors.pop(f"text.blocks.0.attn.tau.{name}") for name in ("wq", "wv"))
    tensors["text_model.transformer.h.0.tau_wqwv"] = torch.cat((wq, wv))
    tau = load_model(rewrite(folder, tensors), device).weights.text.blocks[0].tau
    assert tau is not None
    np.testing.assert_array_equal(device.numpy(tau.wq), wq)
    np.testing.assert_array_equal(device.numpy(tau.wv), wv)


def test_a_checkpoint_without_region_norm_has_none(folder: Path, tensors: Tensors, device: Device) -> None:
    kept = {key: value for key, value in tensors.items() if not key.startswith("region.ln")}
    model = load_model(rewrite(folder, kept), device)
    assert model.weights.region.ln is None
    del tensors["region.ln.bias"]
    with pytest.raises(WeightsInvalid, match=r"lacks region\.ln\.bias\."):
        load_model(rewrite(folder, tensors), device)


def test_what_a_quantised_form_lacks_is_named(folder: Path, tensors: Tensors, device: Device) -> None:
    shape = tensors.pop(FC1).shape
    tensors["text.blocks.1.mlp.fc1_q"] = torch.zeros((*shape[:2], shape[2] // 8), dtype=torch.uint32)
    with pytest.raises(WeightsInvalid, match=r"lacks text\.blocks\.1\.mlp\.fc1\.weight\.scales and 1 more"):
        load_model(rewrite(folder, tensors), device)


def test_8_bit_floats_without_scales_are_no_weights(folder: Path, tensors: Tensors, device: Device) -> None:
    tensors[FC1] = tensors[FC1].to(torch.float8_e4m3fn)
    with pytest.raises(WeightsInvalid, match=r"fc1\.weight has the dtype F8_E4M3; float is needed"):
        load_model(rewrite(folder, tensors), device)


def test_two_forms_of_one_parameter(folder: Path, tensors: Tensors, device: Device) -> None:
    shape = tensors[FC1].shape
    tensors["text.blocks.1.mlp.fc1_q"] = torch.zeros((*shape[:2], shape[2] // 8), dtype=torch.uint32)
    with pytest.raises(WeightsInvalid, match=r"holds text\.blocks\.1\.mlp\.fc1\.weight twice"):
        load_model(rewrite(folder, tensors), device)


# ----------------------------------------------------------------------------------------------- shards


def shard(folder: Path, tensors: Tensors) -> dict[str, str]:
    """Split the checkpoint over two files; returns the map of the index, which is not written."""
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {}
    for index, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-0000{index}-of-00002.safetensors"
        save_file({f"model.{name}": tensors[name].contiguous() for name in part}, folder / file)
        places |= {f"model.{name}": file for name in part}
    return places


def write_index(folder: Path, places: object) -> None:
    text = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def test_shards_are_the_same_model(folder: Path, tensors: Tensors, device: Device) -> None:
    whole = experts(load_model(folder, device))
    write_index(folder, shard(folder, tensors))
    for actual, wanted in zip(experts(load_model(folder, device)), whole, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_a_missing_shard_is_named(folder: Path, tensors: Tensors, device: Device) -> None:
    write_index(folder, shard(folder, tensors))
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsNotFound, match=r"model-00002-of-00002\.safetensors"):
        load_model(folder, device)


def test_bad_indices(folder: Path, tensors: Tensors, device: Device) -> None:
    places = shard(folder, tensors)
    name, file = next(iter(places.items()))
    other = next(place for place in places.values() if place != file)
    for wrong, message in (
        ({**places, name: other}, "does not"),
        ({**places, name: "../secret.safetensors"}, "not a file beside it"),
        ([1], "not an index"),
    ):
        write_index(folder, wrong)
        with pytest.raises(WeightsInvalid, match=message):
            load_model(folder, device)
