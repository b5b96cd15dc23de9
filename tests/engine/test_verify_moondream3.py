"""The golden sets of Moondream 3 pass on every device, and a model or a record a little off does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from dreamscope.engine.devices.torch_ops import TorchDevice
from dreamscope.engine.verify.__main__ import main

GOLDEN = Path(__file__).parents[1] / "data/golden/moondream3"


def _lines(output: str) -> dict[str, str]:
    """Name to verdict."""
    rows = [line.split() for line in output.splitlines() if line.startswith("  ")]
    return {row[0]: row[2] for row in rows}


@pytest.mark.parametrize(("name", "form"), [("tiny_a", "int4"), ("tiny_b", "fp8")])
def test_golden_sets_pass(name: str, form: str, device_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN / name), "--device", device_name]) == 0
    lines = _lines(capsys.readouterr().out)
    assert set(lines.values()) == {"ok"}
    golden = json.loads((GOLDEN / name / "golden.json").read_text(encoding="utf-8"))
    inputs = {"region/coord_in", "region/size_in", "region/hidden_in"}
    tensors = load_file(GOLDEN / name / "tensors.safetensors").keys() - inputs
    renamed = {key.replace("/", ".") for key in tensors}
    cases = {key for case in golden["cases"] for key in renamed if key.startswith(f"{case}.")}
    assert {f"case.{key}" for key in cases} | (renamed - cases) <= set(lines)
    for case in golden["cases"]:
        for quantity in ("prompt_tokens", "prefill_len", "steps", "finish_reason", "output"):
            assert lines[f"case.{case}.{quantity}"] == "ok"
    assert lines[f"{form}.logits_last"] == "ok"
    paths = json.loads((GOLDEN / "svg_cases.json").read_text(encoding="utf-8"))
    assert len([line for line in lines if line.startswith("svg.") and line.endswith(".path")]) == len(
        paths["cases"]
    ) + len(paths["stream_cases"])


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copy(GOLDEN / "svg_cases.json", tmp_path)
    return Path(shutil.copytree(GOLDEN / "tiny_b", tmp_path / "set"))


def _failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main([str(folder), "--quiet"]) == 1
    return [name for name, verdict in _lines(capsys.readouterr().out).items() if verdict == "FAIL"]


@pytest.mark.parametrize(
    ("key", "first_wrong"),
    [
        ("model.vision.blocks.1.mlp.fc1.weight", "image0.vision_features"),
        ("model.text.blocks.0.attn.tau.alpha", "tau.pos_table_layer0"),
        ("model.text.blocks.0.attn.tau.wv", "prefill.layer0.out"),
        ("model.text.blocks.1.mlp.router.bias", "prefill.layer1.router_logits"),
        ("model.text.blocks.2.mlp.fc2.weight", "prefill.layer2.out"),
        ("model.region.ln.weight", "region.coord_logits"),
        ("model.region.size_decoder.bias", "region.width_logits"),
    ],
)
def test_a_perturbed_weight_fails(
    copied: Path, key: str, first_wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(copied / "weights.safetensors")
    tensors[key].reshape(-1)[:40] += 0.5
    save_file(tensors, copied / "weights.safetensors")
    assert _failed(copied, capsys)[0] == first_wrong


def test_a_perturbed_expert_scale_fails(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "weights_fp8.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["text_model.transformer.h.1.moe_quant.up_scale"]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    data[begin:end] = (np.frombuffer(data[begin:end], np.float32) * 2).tobytes()
    path.write_bytes(data)
    assert _failed(copied, capsys) == ["fp8.logits_last"]


@pytest.mark.parametrize(
    ("operation", "wrong", "first_wrong"),
    [
        ("gelu_exact", lambda self, x: self.gelu(x), "prefill.layer0.q"),
        ("tanh", lambda self, x: torch.tanh(x) * 1.01, "tau.pos_table_layer0"),
        (
            "top_weights",
            lambda self, scores, k: (scores.topk(k).indices, scores.softmax(-1).topk(k).values),
            "prefill.layer1.topk_weights",
        ),
    ],
)
def test_a_wrong_operation_fails(
    operation: str,
    wrong: Callable[..., object],
    first_wrong: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(TorchDevice, operation, wrong)
    assert first_wrong in _failed(GOLDEN / "tiny_b", capsys)


@pytest.mark.parametrize(
    ("path", "change", "wrong"),
    [
        (("images", 1, "tiling", 0), 3, "image1.tiling"),
        (("select_tiling_real", 2, "tiling", 1), 2, "tilings"),
        (("cases", "caption_normal", "steps", 2, "bin"), 499, "case.caption_normal.steps"),
        (("cases", "detect", "steps", 0, "allowed", 1), 6, "case.detect.allowed"),
        (("cases", "detect", "steps", 2, "h_bin"), 979, "case.detect.steps"),
        (("cases", "query_direct", "finish_reason"), "length", "case.query_direct.finish_reason"),
        (("cases", "query_spatial_refs", "prompt_tokens", 4, "value"), 0.2501, "case.query_spatial_refs.prompt_tokens"),  # noqa: E501
        (("cases", "segment_forced0", "output", "segments", 0, "bbox", "x_min"), 0.7323, "case.segment_forced0.output"),  # noqa: E501
        (("cases", "query_reasoning", "output", "reasoning", "grounding", 0, "end_idx"), 37, "case.query_reasoning.output"),  # noqa: E501
        (("cases", "point", "prefill_len"), 71, "case.point.prefill_len"),
        (("cases", "chat_direct", "prompt_tokens", 1, "index"), 1, "case.chat_direct.prompt_tokens"),
        (("cases", "chat_reasoning", "output", "message", "reasoning"), "en", "case.chat_reasoning.output"),
    ],
)  # fmt: skip
def test_every_exact_field_counts(
    copied: Path, path: tuple[str | int, ...], change: object, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads((copied / "golden.json").read_text(encoding="utf-8"))
    place = golden
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != change
    place[path[-1]] = change
    (copied / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    assert _failed(copied, capsys) == [wrong]


@pytest.mark.parametrize(
    ("path", "change", "wrong"),
    [
        (("cases", 2, "path"), "m 0.5 0.5", "svg.2.path"),
        (("cases", 9, "error"), "no", "svg.9.error"),
        (("bbox_cases", 1, "bbox", "y_max"), 0.99, "svg.bbox.1"),
        (("stream_cases", 1, "deltas", 2, 0), 11, "svg.stream.1.deltas"),
    ],
)
def test_every_path_case_counts(
    copied: Path, path: tuple[str | int, ...], change: object, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copied.parent / "svg_cases.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change
    file.write_text(json.dumps(data), encoding="utf-8")
    assert _failed(copied, capsys) == [wrong]
