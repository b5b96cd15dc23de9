from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import tokenizers
import torch
from safetensors.torch import load_file

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import expected_shapes
from dreamscope.engine.sprite import export as exporting
from dreamscope.engine.sprite.export import export
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.losses import initial_heads
from dreamscope.engine.sprite.network import Weights
from dreamscope.engine.sprite.recipe import Recipe, Sizes
from dreamscope.engine.weights.load import load_model


def _weights(sizes: Sizes, seed: int = 0) -> Weights:
    return initial_weights(sizes, seed) | initial_heads(sizes.vision_dim, sizes.dim, 5, seed)


def test_the_directory_is_what_the_loader_wants(
    sizes: Sizes, raw_tokenizer: tokenizers.Tokenizer, tmp_path: Path
) -> None:
    weights = _weights(sizes)
    export(weights, sizes, raw_tokenizer, tmp_path / "model")
    config = Moondream2Config.from_dict(json.loads((tmp_path / "model/config.json").read_text()))
    stored = load_file(tmp_path / "model/model.safetensors")
    assert {name.removeprefix("model."): tuple(w.shape) for name, w in stored.items()} == expected_shapes(
        config
    )
    assert all(name.startswith("model.") for name in stored)
    assert {w.dtype for w in stored.values()} == {torch.float16}
    for name, w in stored.items():
        torch.testing.assert_close(w.float(), weights[name.removeprefix("model.")], rtol=4e-3, atol=1e-6)
    model = load_model(tmp_path / "model", open_device("cpu", "float32"))
    assert model.tokenizer.encode(" dog") == raw_tokenizer.encode(" dog").ids


def test_fixed_features_are_stored_as_training_saw_them(
    sizes: Sizes, raw_tokenizer: tokenizers.Tokenizer, tmp_path: Path
) -> None:
    """32 periods over the image turn a rounding of the frequency into a wrong phase."""
    weights = _weights(sizes)
    export(weights, sizes, raw_tokenizer, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    for name in ("region.coord_features", "region.size_features"):
        assert torch.equal(stored[f"model.{name}"].float(), weights[name].bfloat16().float())


def test_the_default_model_is_small() -> None:
    shapes = {name: w.shape.numel() for name, w in initial_weights(Sizes(), 0).items()}
    assert 3_000_000 < sum(shapes.values()) < 4_500_000  # under 9 MB in fp16


def test_a_run_is_exported_as_the_mean_of_its_processes(
    raw_tokenizer: tokenizers.Tokenizer, sizes: Sizes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SPRITES", {"sprite-2": Recipe(sizes=sizes)})
    states = [_weights(sizes, seed) for seed in (0, 1)]
    run = tmp_path / "run"
    run.mkdir()
    for rank, state in enumerate(states):
        torch.save({"weights": state, "optimizer": {}, "step": 8}, run / f"rank{rank}.pt")
    raw_tokenizer.save(str(run / "tokenizer.json"))
    monkeypatch.setattr(sys, "argv", ["export", str(run), str(tmp_path / "model")])
    exporting.main()
    stored = load_file(tmp_path / "model/model.safetensors")
    mean = (states[0]["text.wte"] + states[1]["text.wte"]) / 2
    torch.testing.assert_close(stored["model.text.wte"].float(), mean, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "model/tokenizer.json").exists()


def test_a_directory_without_a_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["export", str(tmp_path), str(tmp_path / "model")])
    with pytest.raises(SystemExit):
        exporting.main()
    assert "holds no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
