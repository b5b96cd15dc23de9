"""A model small enough to run by hand, with grouped heads and sizes that are all different."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint

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
