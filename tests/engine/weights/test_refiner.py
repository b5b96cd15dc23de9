"""Files of the mask refiner: what is read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.config import VisionConfig
from dreamscope.engine.weights.refiner import load_refiner

Head = dict[str, torch.Tensor]


@pytest.fixture
def head(random_head: Callable[..., Head]) -> Head:
    return random_head(3, 8, dim=32, masks=2, layers=1)


@pytest.fixture
def fitting(cpu: Device) -> Any:
    vision = VisionConfig(enc_dim=8, crop_size=42, enc_patch_size=14)
    return SimpleNamespace(device=cpu, config=SimpleNamespace(vision=vision))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_formats_hold_the_same(head: Head, fitting: Any, tmp_path: Path, dtype: torch.dtype) -> None:
    stored = {name: tensor.to(dtype) for name, tensor in head.items()}
    torch.save({"head": stored, "step": 3}, tmp_path / "model.pt")
    save_file(stored, tmp_path / "model.safetensors")
    one, other = (load_refiner(tmp_path / name, fitting) for name in ("model.pt", "model.safetensors"))
    assert one.grid == other.grid == 3
    assert (len(one.blocks), len(one.mask_mlps)) == (1, 2)
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_array_equal(one.upsample[2].up.layer.weight, other.upsample[2].up.layer.weight)
    np.testing.assert_array_equal(one.final_norm.weight, stored["final_norm.weight"].float())


def test_no_file(fitting: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"no mask refiner .*model\.pt; without --refiner"):
        load_refiner(tmp_path / "model.pt", fitting)


def test_no_tensors(fitting: Any, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(WeightsInvalid, match="not a torch file"):
        load_refiner(tmp_path / "model.pt", fitting)
    (tmp_path / "model.bin").write_bytes(b"PK")
    with pytest.raises(WeightsInvalid, match=r"must end in \.pt or \.safetensors"):
        load_refiner(tmp_path / "model.bin", fitting)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("final_norm.bias", None, r"lacks final_norm\.bias"),
        ("image_proj.weight", None, r"lacks image_proj\.weight"),
        ("image_proj.weight", torch.zeros(20, 8, 1, 1), "multiple of 32 rows, not 20"),
        ("image_pe", torch.zeros(32, 3), "image_pe has the shape .32, 3., not 4 sizes"),
        ("iou_head.4.bias", torch.zeros(5), r"iou_head\.4\.bias has the shape \[5\]; \[2\] is needed"),
        (
            "upsample.6.weight",
            torch.zeros(8, 16, 2, 2),
            r"upsample\.6\.weight has the shape .* \[16, 8, 2, 2\]",
        ),
        ("transformer_blocks.1.norm1.bias", torch.zeros(32), r"lacks transformer_blocks\.1\.mlp"),
        ("extra", torch.zeros(3), "holds extra, which is no part"),
        ("final_norm.bias", torch.zeros(32, dtype=torch.int32), "final_norm.bias"),
    ],
)
@pytest.mark.parametrize("form", [".pt", ".safetensors"])
def test_damaged_heads(
    head: Head, fitting: Any, tmp_path: Path, name: str, tensor: Any, message: str, form: str
) -> None:
    changed = {key: value for key, value in {**head, name: tensor}.items() if value is not None}
    path = tmp_path / f"model{form}"
    if form == ".pt":
        torch.save({"head": changed}, path)
    else:
        save_file(changed, path)
    with pytest.raises(WeightsInvalid, match=message):
        load_refiner(path, fitting)


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        ({"enc_dim": 12}, "is for 8 vision features; this model has 12"),
        ({"crop_size": 56}, "is for 3 patches along a side; this model has 4"),
        ({"enc_n_layers": 8}, "after block 8 .from 0.; this model has 8 blocks"),
    ],
)
def test_another_model(head: Head, cpu: Device, tmp_path: Path, vision: dict[str, int], message: str) -> None:
    torch.save({"head": head}, tmp_path / "model.pt")
    sizes = VisionConfig(**{"enc_dim": 8, "crop_size": 42, "enc_patch_size": 14, **vision})
    other: Any = SimpleNamespace(device=cpu, config=SimpleNamespace(vision=sizes))
    with pytest.raises(WeightsInvalid, match=message):
        load_refiner(tmp_path / "model.pt", other)
