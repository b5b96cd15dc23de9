"""A model small enough to run by hand, with grouped heads and sizes that are all different."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint

Head = dict[str, torch.Tensor]

PROMPTS = {
    "caption": {"short": [1, 30, 2, 31, 3], "normal": [1, 30, 2, 32, 3], "long": [1, 30, 2, 33, 3]},
    "query": {"prefix": [1, 40, 2], "suffix": [3]},
    "detect": {"prefix": [1, 41, 42, 2], "suffix": [3]},
    "point": {"prefix": [1, 43, 2], "suffix": [3]},
}


@pytest.fixture(scope="session")
def config() -> Moondream2Config:
    return Moondream2Config.from_dict(
        {
            "text": {
                "dim": 32,
                "ff_dim": 56,
                "n_layers": 2,
                "vocab_size": 290,
                "n_heads": 4,
                "n_kv_heads": 2,
                "max_context": 64,
            },
            "vision": {
                "enc_dim": 24,
                "enc_patch_size": 4,
                "enc_n_layers": 2,
                "enc_ff_dim": 40,
                "enc_n_heads": 3,
                "proj_out_dim": 32,
                "crop_size": 20,
                "overlap_margin": 1,
                "max_crops": 6,
                "proj_inner_dim": 44,
            },
            "region": {"dim": 32, "coord_feat_dim": 12, "size_feat_dim": 20, "inner_dim": 28},
            "tokenizer": {"templates": PROMPTS},
        }
    )


@pytest.fixture(scope="session")
def cpu() -> Device:
    return open_device("cpu", "float32")


@pytest.fixture(scope="session", params=["cpu", "mlx"])
def device_name(request: pytest.FixtureRequest) -> str:
    """Every device that a machine without a card has."""
    if request.param == "mlx":
        pytest.importorskip("mlx.core")
    return str(request.param)


@pytest.fixture(scope="session")
def device(device_name: str) -> Device:
    return open_device(device_name, "float32")


@pytest.fixture(scope="session")
def checkpoint(config: Moondream2Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(config, tmp_path_factory.mktemp("random"), seed=7)


@pytest.fixture(scope="session")
def model(checkpoint: Path, device: Device) -> Moondream2:
    return load_model(checkpoint, device)


@pytest.fixture(scope="session")
def random_head() -> Callable[..., Head]:
    """Random tensors of a small mask refiner, under their published names."""
    return _random_head


def _random_head(grid: int, width: int, dim: int = 64, masks: int = 3, layers: int = 2) -> Head:
    fine, shapes = dim // 8, {}

    def layer(name: str, *shape: int, out: int | None = None) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, (shape[0] if out is None else out,)

    def attention(name: str, size: int) -> None:
        shapes[f"{name}.in_proj_weight"], shapes[f"{name}.in_proj_bias"] = (3 * size, size), (3 * size,)
        layer(f"{name}.out_proj", size, size)

    shapes["image_pe"] = (1, dim, grid, grid)
    shapes |= {"mask_tokens": (masks, dim), "iou_token": (1, dim), "output_pe": (masks + 1, dim)}
    layer("image_proj", dim, width, 1, 1)
    layer("hq_fusion.early_proj.0", dim, width)
    layer("hq_fusion.early_proj.1", dim)
    layer("hq_fusion.fusion.0", dim, 2 * dim, 1, 1)
    layer("hq_fusion.fusion.1", dim)
    layer("hq_fusion.fusion.3", dim, dim, 3, 3)
    layer("hq_fusion.fusion.4", dim)
    widths = (1, dim // 16, dim // 8, dim // 4, dim)
    for i in range(1, 5):
        layer(f"mask_encoder.conv{i}.0", widths[i], widths[i - 1], 3, 3)
        layer(f"mask_encoder.conv{i}.1", widths[i])
    for i in range(layers):
        block = f"transformer_blocks.{i}"
        for name in ("output_self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            attention(f"{block}.{name}", dim)
        layer(f"{block}.mlp.0", 3 * dim, dim)
        layer(f"{block}.mlp.2", dim, 3 * dim)
        for n in range(1, 5):
            layer(f"{block}.norm{n}", dim)
    attention("final_token_to_image", dim)
    layer("final_norm", dim)
    for i in range(3):
        into, out = dim >> i, dim >> (i + 1)
        layer(f"upsample.{6 * i}", into, out, 2, 2, out=out)
        layer(f"upsample.{6 * i + 1}.norm", out)
        layer(f"upsample.{6 * i + 3}", out, out, 3, 3)
        layer(f"upsample.{6 * i + 4}.norm", out)
    layer("final_q_proj", fine, dim)
    attention("final_attn_up", fine)
    layer("final_norm_up", fine)
    for i in range(masks):
        for n in (0, 2, 4):
            layer(f"mask_mlps.{i}.{n}", fine, fine)
    for n, out in ((0, dim), (2, dim), (4, masks)):
        layer(f"iou_head.{n}", out, dim)
    draw = torch.Generator().manual_seed(5)
    return {name: torch.randn(shape, generator=draw) * 0.3 for name, shape in shapes.items()}
