"""Loading streams: the most memory it takes at any moment is little more than the weights.

A process of its own loads a checkpoint of several shards and reports by how much its peak (`VmHWM`, which the
system counts, mapped pages of the files included) exceeds what it had before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.weights.random_shards import INDEX_NAME, ExpertForm, write_random_shards

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")
pytestmark = pytest.mark.skipif(not RESET_PEAK.exists(), reason="only Linux counts the peak of a process")
MIB = 1 << 20
PROGRAM = f"""
import json, sys
from pathlib import Path
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.weights.load import load_model

def memory(field):
    lines = Path({str(STATUS)!r}).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def held(part):
    if hasattr(part, "__dataclass_fields__") and not hasattr(part, "nbytes"):
        return sum(held(getattr(part, name)) for name in part.__dataclass_fields__)
    if isinstance(part, (list, tuple)):
        return sum(map(held, part))
    return getattr(part, "nbytes", 0)

folder, device, dtype, warm = sys.argv[1:]
device = open_device(device, dtype)
load_model(warm, device)  # imports, thread pools, allocators
Path({str(RESET_PEAK)!r}).write_text("5")
before = memory("VmRSS:")
model = load_model(folder, device)
peak = memory("VmHWM:")
print(json.dumps({{"weights": held(model.weights), "rise": peak - before}}))
"""


def _config(layers: int, experts: int, dim: int, inner: int) -> Moondream3Config:
    """Nearly all of it experts; no tensor is more than a few hundredths of the whole."""
    moe = {"num_experts": experts, "start_layer": 1, "experts_per_token": 2, "expert_inner_dim": inner}
    text = {"dim": dim, "ff_dim": dim, "n_layers": layers, "vocab_size": 280, "n_heads": 4, "max_context": 40}
    vision = {
        "enc_dim": 8, "enc_patch_size": 2, "enc_n_layers": 1, "enc_ff_dim": 8, "enc_n_heads": 1,
        "proj_out_dim": dim, "crop_size": 6, "overlap_margin": 1, "proj_inner_dim": 8,
    }  # fmt: skip
    region = {"dim": dim, "coord_feat_dim": 8, "size_feat_dim": 8}
    templates = {"query": {"prefix": [1, 40, 2], "suffix": [3]}}
    groups = {"vision": vision, "region": region, "tokenizer": {"templates": templates}}
    return Moondream3Config.from_dict({"text": {**text, "moe": moe}, **groups})


def _load(folder: Path, warm: Path, device: str, dtype: str) -> dict[str, int]:
    command = [sys.executable, "-c", PROGRAM, str(folder), device, dtype, str(warm)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    numbers: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def _check(
    tmp_path: Path, config: Moondream3Config, form: ExpertForm, shard: int, device: str, dtype: str
) -> None:
    folder = write_random_shards(config, tmp_path / "model", form, shard)
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    total = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))["metadata"]["total_size"]
    warm = write_random_shards(_config(2, 2, 64, 64), tmp_path / "warm", form)
    numbers = _load(folder, warm, device, dtype)
    scale = 2 if (form, dtype) == ("bfloat16", "float32") else 1
    assert numbers["weights"] == pytest.approx(scale * total, rel=0.15)  # quantised experts stay quantised
    assert numbers["rise"] <= 1.1 * numbers["weights"], numbers


@pytest.mark.parametrize("form", ["bfloat16", "int4", "fp8"])
def test_a_small_checkpoint(tmp_path: Path, form: ExpertForm) -> None:
    experts = {"bfloat16": 8, "int4": 28, "fp8": 16}[form]
    _check(tmp_path, _config(40, experts, 256, 256), form, 30 * MIB, "cpu", "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "mlx"])
@pytest.mark.parametrize(
    ("form", "dtype"),
    [("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("int4", "bfloat16"), ("fp8", "float32")],
)
def test_a_large_checkpoint(tmp_path: Path, device: str, form: ExpertForm, dtype: str) -> None:
    if device == "mlx":
        pytest.importorskip("mlx.core")
    experts = {"bfloat16": 12, "int4": 42, "fp8": 24}[form]
    _check(tmp_path, _config(34, experts, 512, 512), form, 150 * MIB, device, dtype)
