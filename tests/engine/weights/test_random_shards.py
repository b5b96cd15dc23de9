"""Random shards are complete, reproducible, well scaled, and no larger than asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.weights import expected_shapes
from dreamscope.engine.weights.experts import unpack_int4
from dreamscope.engine.weights.random_shards import (
    EXPERT_FORMS,
    INDEX_NAME,
    ExpertForm,
    checkpoint_bytes,
    write_random_shards,
)

STEM = "text.blocks.1.mlp.fc1"
EXPERTS, DIM, INNER = 3, 256, 128


@pytest.fixture(scope="module")
def config3() -> Moondream3Config:
    moe = {"num_experts": EXPERTS, "start_layer": 1, "experts_per_token": 2, "expert_inner_dim": INNER}
    text = {"dim": DIM, "ff_dim": 8, "n_layers": 2, "vocab_size": 280, "n_heads": 2, "max_context": 40}
    vision = {
        "enc_dim": 4, "enc_patch_size": 2, "enc_n_layers": 1, "enc_ff_dim": 5, "enc_n_heads": 1,
        "proj_out_dim": DIM, "crop_size": 6, "overlap_margin": 1, "proj_inner_dim": 3,
    }  # fmt: skip
    return Moondream3Config.from_dict(
        {"text": {**text, "moe": moe}, "vision": vision, "region": {"dim": DIM}}
    )


@pytest.mark.parametrize("form", EXPERT_FORMS)
def test_the_index_and_the_shards_agree(config3: Moondream3Config, tmp_path: Path, form: ExpertForm) -> None:
    most = 300_000
    write_random_shards(config3, tmp_path, form, most)
    index = json.loads((tmp_path / INDEX_NAME).read_text(encoding="utf-8"))
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    total = 0
    for file in files:
        tensors = load_file(file)
        assert {name for name, place in index["weight_map"].items() if place == file.name} == set(tensors)
        held = sum(tensor.nbytes for tensor in tensors.values())
        assert held <= most or len(tensors) == 1
        total += held
    assert total == index["metadata"]["total_size"] == checkpoint_bytes(config3, form)
    if form == "bfloat16":
        assert set(index["weight_map"]) == {f"model.{name}" for name in expected_shapes(config3)}


def test_the_same_seed_gives_the_same_files(config3: Moondream3Config, tmp_path: Path) -> None:
    folders = [
        write_random_shards(config3, tmp_path / str(i), "int4", seed=s) for i, s in enumerate((3, 3, 4))
    ]
    data = [(folder / "model-00001-of-00001.safetensors").read_bytes() for folder in folders]
    assert data[0] == data[1]
    assert data[0] != data[2]


@pytest.mark.parametrize("form", EXPERT_FORMS)
def test_experts_keep_the_variance(config3: Moondream3Config, tmp_path: Path, form: ExpertForm) -> None:
    write_random_shards(config3, tmp_path, form)
    tensors = load_file(tmp_path / "model-00001-of-00001.safetensors")
    if form == "bfloat16":
        dense = tensors[f"model.{STEM}.weight"].float().numpy()
    elif form == "fp8":
        block = "text_model.transformer.h.1."
        scale = tensors[f"{block}moe_quant.up_scale"][..., None]
        dense = (tensors[f"{block}mlp.experts.weight"].float() * scale).numpy()
    else:
        parts = (tensors[f"{STEM}_{part}"] for part in ("q", "scales", "biases"))
        codes, scales, biases = (
            part.numpy() if part.itemsize == 4 else part.float().numpy() for part in parts
        )
        dense = np.stack([unpack_int4(*expert) for expert in zip(codes, scales, biases, strict=True)])
    assert dense.shape == (EXPERTS, 2 * INNER, DIM)
    assert abs(float(dense.std()) * DIM**0.5 - 1) < 0.03
    assert abs(float(dense.mean())) < 0.002
    assert len(np.unique(dense[:, :, :4].reshape(-1, 4), axis=0)) == EXPERTS * 2 * INNER
    for name, tensor in tensors.items():
        if name.endswith("ln.weight"):
            assert abs(float(tensor.float().mean()) - 1) < 0.05
