"""The golden sets pass, and a model that is a little wrong does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.torch_ops import TorchDevice
from dreamscope.engine.verify.__main__ import main
from dreamscope.engine.verify.report import close, identical

GOLDEN = Path(__file__).parents[1] / "data/golden/moondream2"
SETS = ("grid8_gqa", "grid27")


def _lines(output: str) -> dict[str, tuple[str, str]]:
    """Name to (error, verdict)."""
    rows = [line.split() for line in output.splitlines() if line.startswith("  ")]
    return {row[0]: (row[1], row[2]) for row in rows}


@pytest.mark.timeout(900)  # MLX multiplies slowly on a processor, and the machine may be busy
@pytest.mark.parametrize("name", SETS)
def test_golden_sets_pass(name: str, device_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN / name), "--device", device_name]) == 0
    output = capsys.readouterr().out
    lines = _lines(output)
    assert {verdict for _, verdict in lines.values()} == {"ok"}
    golden = json.loads((GOLDEN / name / "golden.json").read_text(encoding="utf-8"))
    for case in golden["cases"]:
        assert lines[f"case.{case['id']}.result"] == ("identical", "ok")
        for tensor in case["tensors"]:
            assert lines[f"case.{case['id']}.{tensor}"][1] == "ok"
    assert {"unit.remove_outlier_points", "unit.int4", "case.gaze_accuracy.singles"} <= set(lines)
    for image in golden["images"]:
        for quantity in ("tiling", "crops_sha256", "crops_probe", "vision_out", "pooled", "embed"):
            assert lines[f"image.{image}.{quantity}"][1] == "ok"
    assert output.splitlines()[-1] == f"{len(lines)} ok, 0 failed"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "grid8_gqa", tmp_path / "set"))


def _edit_tensor(path: Path, key: str, change: Callable[[np.ndarray], None]) -> None:
    """Change one bfloat16 tensor of a safetensors file in place, as bit patterns."""
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])[key]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    values = np.frombuffer(data[begin:end], np.uint16).copy()
    change(values)
    data[begin:end] = values.tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("key", "first_wrong"),
    [
        ("model.vision.blocks.1.mlp.fc1.weight", "image.small.vision_out"),
        ("model.vision.proj_mlp.fc2.bias", "image.small.embed"),
        ("model.text.blocks.2.attn.proj.weight", "image.small.prefix_hidden"),
        ("model.text.lm_head.bias", "case.caption_short.prompt0.logits"),
        ("model.region.size_decoder.fc2.weight", "unit.region.size_logits"),
        ("model.region.coord_features", "unit.coord.embed"),
    ],
)
def test_a_perturbed_weight_fails(
    copied: Path, key: str, first_wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def flip(values: np.ndarray) -> None:
        values[0] ^= 0x8040  # sign and the top mantissa bit of one number

    _edit_tensor(copied / "weights.safetensors", key, flip)
    assert main([str(copied), "--quiet"]) == 1
    failed = [name for name, (_, verdict) in _lines(capsys.readouterr().out).items() if verdict == "FAIL"]
    assert failed[0] == first_wrong


@pytest.mark.parametrize("linear", ["mixer.Wqkv", "mixer.out_proj", "mlp.fc1", "mlp.fc2"])
def test_a_perturbed_adapter_fails(copied: Path, linear: str, capsys: pytest.CaptureFixture[str]) -> None:
    def flip(values: np.ndarray) -> None:
        values ^= 0x8000  # the sign of everything

    _edit_tensor(
        copied / "lora.safetensors", f"text_model.transformer.h.1.{linear}.parametrizations.weight.0.A", flip
    )
    assert main([str(copied), "--quiet"]) == 1
    failed = {name.split(".")[1] for name in _lines(capsys.readouterr().out)}
    assert failed == {"lora_query_pil", "lora_caption_encoded", "lora_point_pil"}


def test_a_perturbed_int4_weight_fails(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def flip(values: np.ndarray) -> None:
        values[3] ^= 0x0100

    _edit_tensor(copied / "tensors.safetensors", "unit.int4.packed", flip)
    assert main([str(copied), "--quiet"]) == 1
    assert list(_lines(capsys.readouterr().out)) == ["unit.int4"]


def test_a_wrong_epsilon_fails(
    device_name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = "mlx" if device_name == "mlx" else "torch"
    monkeypatch.setattr(f"dreamscope.engine.devices.{library}_ops.LAYER_NORM_EPS", 1e-6)
    assert main([str(GOLDEN / "grid8_gqa"), "--quiet", "--device", device_name]) == 1
    failed = {name.rpartition(".")[2] for name in _lines(capsys.readouterr().out)}
    assert {"embed", "prefix_hidden", "step_logits"} & failed


def test_a_wrong_gelu_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (TorchDevice, CpuDevice):
        monkeypatch.setattr(kind, "linear_gelu", lambda self, *x: self.gelu_exact(self.linear(*x)))
    assert main([str(GOLDEN / "grid8_gqa"), "--quiet"]) == 1
    assert "image.small.vision_out" in _lines(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("path", "change", "wrong"),
    [
        (("units", "stream", 0, "chunks", 0), "Then ", "unit.stream.0.chunks"),
        (("units", "grounding", 0, "grounding", 0, "end_idx"), 17, "unit.grounding.0"),
        (("units", "tiling", 2, 2), 4, "unit.tiling"),
        (("images", "large", "crops_sha256"), "0", "image.large.crops_sha256"),
        (("cases", 0, "token_ids", 3), 1, "case.caption_short.token_ids"),
        (("cases", 7, "reasoning_coord_bins", 0), 5, "case.reason_a.reasoning_coord_bins"),
        (("cases", 13, "step_argmax", 0), 6, "case.point_a.step_argmax"),
        (("cases", 16, "result", "objects", 0, "x_min"), 0.978741429746151, "case.detect_a.result"),
        (("cases", 2, "stop"), "max_tokens", "case.caption_long.stop"),
        (("cases", 3, "prompts", 0, "end_pos"), 97, "case.query.prompt0.end_pos"),
        (("cases", 19, "step_argmax", 1), 5, "case.gaze_a.step_argmax"),
        (("cases", 20, "result", "gaze", "y"), 0.7119140625, "case.gaze_b.result"),
        (("cases", 21, "singles", 12, "gaze", "x"), 0.5, "case.gaze_accuracy.singles"),
        (("cases", 21, "uniform_draws", 39), 0.5, "case.gaze_accuracy.uniform_draws"),
        (("cases", 21, "result", "gaze", "x"), 0.6868681066176472, "case.gaze_accuracy.result"),
        (("cases", 22, "token_ids", 0), 8, "case.lora_query_pil.token_ids"),
        (("cases", 24, "bins", 1, "argmax", 0), 304, "case.lora_point_pil.bins"),
        (("units", "remove_outlier_points", 0, "kept", 0, 0), 0.5, "unit.remove_outlier_points"),
    ],
)
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
    assert main([str(copied), "--quiet"]) == 1
    assert list(_lines(capsys.readouterr().out)) == [wrong]


def test_what_is_not_a_golden_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no golden.json" in capsys.readouterr().err
    (tmp_path / "golden.json").write_text('{"model": "moondream9"}', encoding="utf-8")
    assert main([str(tmp_path)]) == 2
    assert "'moondream9'; this build checks moondream2 and moondream3" in capsys.readouterr().err


def test_comparison_rules() -> None:
    inf, nan = np.inf, np.nan
    assert close("x", np.array([1.0, -inf]), np.array([1.001, -inf]), 0.01).status == "ok"
    assert close("x", np.array([1.0]), np.array([1.1]), 0.01).status == "FAIL"
    for actual, expected in (
        ([nan], [1.0]),
        ([1.0], [nan]),
        ([nan], [nan]),
        ([-inf], [0.0]),
        ([0.0], [-inf]),
    ):
        assert close("x", np.array(actual), np.array(expected), 1e9).status == "FAIL"
    assert close("x", np.ones(3), np.ones(2), 1.0).status == "FAIL"
    assert identical("x", np.arange(3), np.arange(3)).line().split() == ["x", "identical", "ok"]
    assert "got 'a', expected 'b'" in identical("x", "a", "b").line()
