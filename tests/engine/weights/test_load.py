"""Every layout and dtype gives the same model; whatever does not fit is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import NotEnoughMemory, WeightsInvalid
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import canonical_name
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files, load_model
from dreamscope.engine.weights.progress import Progress

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensors(checkpoint: Path) -> Tensors:
    """Values that float16 and bfloat16 both hold exactly."""
    stored = load_file(checkpoint / "model.safetensors")
    bits = {k: v.astype(np.float32).view(np.uint32) & 0xFFFF0000 for k, v in stored.items()}
    exact = {k: v.view(np.float32) for k, v in bits.items()}
    return {k: np.where(np.abs(v) < 2**-14, 0, v).astype(np.float32) for k, v in exact.items()}


def _files(checkpoint: Path, weights: Path) -> ModelFiles:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return ModelFiles(weights, checkpoint / "tokenizer.json", config)


def _write(path: Path, tensors: Tensors) -> Path:
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    return path


def _write_bfloat16(path: Path, tensors: Tensors) -> Path:
    header: dict[str, Any] = {}
    data = b""
    for name, values in tensors.items():
        raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": values.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def _fingerprint(files: ModelFiles, device: Device) -> np.ndarray:
    model = load_files(files, device)
    rgb = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    cache = model.new_cache()
    model.prefill_image(model.encode_image(model.crop(rgb)), cache)
    hidden = model.forward(model.embed([1, Coord(0.2), Size(0.3, 0.4), 60]), cache)
    return np.concatenate(
        (model.logits(hidden), model.coord_logits(hidden), model.size_logits(hidden).ravel())
    )


LEGACY = (
    (r"vision\.patch_emb\.(.*)", r"vision_encoder.encoder.model.visual.patch_embed.linear.\1"),
    (r"vision\.pos_emb", r"vision_encoder.encoder.model.visual.pos_embed"),
    (r"vision\.post_ln\.(.*)", r"vision_encoder.encoder.model.visual.norm.\1"),
    (r"vision\.blocks\.(\d+)\.ln([12])\.(.*)", r"vision_encoder.encoder.model.visual.blocks.\1.norm\2.\3"),
    (r"vision\.blocks\.(.*)", r"vision_encoder.encoder.model.visual.blocks.\1"),
    (r"vision\.proj_mlp\.(.*)", r"vision_encoder.projection.mlp.\1"),
    (r"text\.wte", r"text_model.transformer.embd.wte.weight"),
    (r"text\.post_ln\.(.*)", r"text_model.lm_head.ln.\1"),
    (r"text\.lm_head\.(.*)", r"text_model.lm_head.linear.\1"),
    (r"text\.blocks\.(\d+)\.attn\.qkv\.(.*)", r"text_model.transformer.h.\1.mixer.Wqkv.\2"),
    (r"text\.blocks\.(\d+)\.attn\.proj\.(.*)", r"text_model.transformer.h.\1.mixer.out_proj.\2"),
    (r"text\.blocks\.(.*)", r"text_model.transformer.h.\1"),
    (r"region\.coord_features", r"region_model.coordinate_features.weight"),
    (r"region\.size_features", r"region_model.size_features.weight"),
    (r"region\.coord_(.*)", r"region_model.coordinate_\1"),
    (r"region\.size_(.*)", r"region_model.size_\1"),
)


def _legacy(tensors: Tensors) -> Tensors:
    renamed: Tensors = {}
    for key, value in tensors.items():
        name = key.removeprefix("model.")
        pattern, template = next((p, t) for p, t in LEGACY if re.fullmatch(p, name))
        renamed[re.sub(f"^{pattern}$", template, name)] = value.T if name.endswith("_features") else value
    return renamed


@pytest.mark.parametrize(
    "form", ["F32", "F16", "BF16", "unprefixed", "legacy", "compiled", "legacy compiled", "with caches"]
)
def test_every_form_is_the_same_model(
    checkpoint: Path, tensors: Tensors, cpu: Device, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "w.safetensors"
    if form == "BF16":
        _write_bfloat16(path, tensors)
    elif form == "F16":
        _write(path, {k: v.astype(np.float16) for k, v in tensors.items()})
    elif form == "unprefixed":
        _write(path, {k.removeprefix("model."): v for k, v in tensors.items()})
    elif form == "compiled":
        _write(path, {k.replace(".attn.", "._orig_mod.attn."): v for k, v in tensors.items()})
    elif form == "legacy":
        _write(path, _legacy(tensors))
    elif form == "legacy compiled":
        _write(path, {k.replace(".mlp", ".mlp._orig_mod"): v for k, v in _legacy(tensors).items()})
    elif form == "with caches":
        extra = {"model.text.blocks.0.kv_cache.k_cache": np.ones((1, 2), np.float32)}
        _write(path, {**tensors, **extra})
    else:
        _write(path, tensors)
    plain = _write(tmp_path / "plain.safetensors", tensors)
    expected = _fingerprint(_files(checkpoint, plain), cpu)
    np.testing.assert_array_equal(_fingerprint(_files(checkpoint, path), cpu), expected)


def test_a_substring_that_looks_like_the_prefix_stays() -> None:
    place = canonical_name("model.text.model.x")
    assert place is not None
    assert place.name == "text.model.x"


@pytest.mark.parametrize(
    "key", ["model.text.blocks.1.mlp.fc2.bias", "model.vision.pos_emb", "model.text.wte"]
)
def test_a_missing_key_is_named(
    checkpoint: Path, tensors: Tensors, cpu: Device, tmp_path: Path, key: str
) -> None:
    path = _write(tmp_path / "w.safetensors", {k: v for k, v in tensors.items() if k != key})
    with pytest.raises(WeightsInvalid, match=rf"lacks {re.escape(key.removeprefix('model.'))}\."):
        load_files(_files(checkpoint, path), cpu)


def test_many_missing_keys_are_counted(
    checkpoint: Path, tensors: Tensors, cpu: Device, tmp_path: Path
) -> None:
    kept = {k: v for k, v in tensors.items() if ".region." not in k}
    path = _write(tmp_path / "w.safetensors", kept)
    with pytest.raises(WeightsInvalid, match=r"lacks region\.coord_features and 13 more\."):
        load_files(_files(checkpoint, path), cpu)


def test_a_wrong_shape_is_named(checkpoint: Path, tensors: Tensors, cpu: Device, tmp_path: Path) -> None:
    wrong = {**tensors, "model.text.wte": tensors["model.text.wte"][:-1]}
    path = _write(tmp_path / "w.safetensors", wrong)
    with pytest.raises(WeightsInvalid, match=r"model\.text\.wte has the shape \[289, 32\].*\[290, 32\]"):
        load_files(_files(checkpoint, path), cpu)


def test_two_keys_for_one_tensor(checkpoint: Path, tensors: Tensors, cpu: Device, tmp_path: Path) -> None:
    path = _write(tmp_path / "w.safetensors", {**tensors, "text.wte": tensors["model.text.wte"]})
    with pytest.raises(WeightsInvalid, match=r"text\.wte twice"):
        load_files(_files(checkpoint, path), cpu)


def test_progress_says_the_need_first_and_ends_full(checkpoint: Path, cpu: Device) -> None:
    reports: list[Progress] = []
    load_model(checkpoint, cpu, reports.append)
    assert reports[0].stage == "memory"
    assert re.search(r"needs [\d.]+ MiB .* in float32 on cpu", reports[0].message)
    assert {report.stage for report in reports[1:]} == {"read"}
    assert reports[-1].done == reports[-1].total > 0


def test_a_model_that_does_not_fit_is_refused_before_reading(
    checkpoint: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "free_memory", lambda: 1000, raising=False)
    monkeypatch.setattr(cpu, "weight", None, raising=False)  # any read would fail
    with pytest.raises(NotEnoughMemory, match=r"needs .* in float32, but cpu has 0\.1 MiB free.*bfloat16"):
        load_model(checkpoint, cpu)


def test_the_published_prompts_need_the_published_tokenizer(checkpoint: Path, cpu: Device) -> None:
    config = Moondream2Config.from_dict(
        {
            "text": {"dim": 32, "n_heads": 4, "n_layers": 1, "ff_dim": 4, "vocab_size": 290},
            "vision": {"proj_out_dim": 32},
            "region": {"dim": 32},
        }
    ).to_dict()
    files = ModelFiles(checkpoint / "model.safetensors", checkpoint / "tokenizer.json", config)
    with pytest.raises(WeightsInvalid, match=r"'query' has the ids .*starmie-v1"):
        load_files(files, cpu)
