"""Random checkpoints are complete, reproducible and well scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import NotEnoughMemory
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import random_model, random_tensors, write_random_checkpoint


def test_the_same_seed_gives_the_same_files(config: Moondream2Config, tmp_path: Path) -> None:
    folders = [write_random_checkpoint(config, tmp_path / str(i), seed) for i, seed in enumerate((3, 3, 4))]
    data = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert data[0] == data[1]
    assert data[0] != data[2]


def test_in_memory_equals_on_disk(config: Moondream2Config, cpu: Device, checkpoint: Path) -> None:
    stored = load_model(checkpoint, cpu)
    direct = random_model(config, cpu, Tokenizer.load(checkpoint / "tokenizer.json"), seed=7)
    logits = [m.logits(m.forward(m.embed([1, 50, 60]), m.new_cache())) for m in (stored, direct)]
    np.testing.assert_allclose(*logits, atol=0.02)  # the file holds float16


def test_matrices_keep_the_variance() -> None:
    draw = random_tensors(0)
    matrix = draw("x.weight", (300, 400))
    assert abs(float(matrix.std()) * 20 - 1) < 0.02
    assert abs(float(draw("ln.weight", (1000,)).mean()) - 1) < 0.01
    assert abs(float(draw("ln.bias", (1000,)).mean())) < 0.01
    assert not np.array_equal(draw("x.weight", (5, 400)), draw("x.weight", (5, 400)))


def test_rows_of_a_tensor_longer_than_the_block_differ() -> None:
    matrix = random_tensors(0)("x.weight", (600, 2048))
    assert len(np.unique(matrix[:, :4], axis=0)) == 600


def test_memory_is_checked_first(
    config: Moondream2Config, cpu: Device, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "free_memory", lambda: 10)
    with pytest.raises(NotEnoughMemory):
        random_model(config, cpu, Tokenizer.load(checkpoint / "tokenizer.json"))
