"""The benchmarks run, count bytes right, and store what they print. No times are judged."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import expected_shapes
from dreamscope.engine.weights.random import write_random_checkpoint

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
DIM, LAYERS, KV_HEADS, HEAD_DIM, CONTEXT, PREFIX = 32, 2, 2, 8, 96, 26


@pytest.fixture(scope="module")
def config() -> Moondream2Config:
    return Moondream2Config.from_dict(
        {
            "text": {
                "dim": DIM,
                "ff_dim": 56,
                "n_layers": LAYERS,
                "vocab_size": 290,
                "n_heads": DIM // HEAD_DIM,
                "n_kv_heads": KV_HEADS,
                "max_context": CONTEXT,
            },
            "vision": {
                "enc_dim": 24,
                "enc_patch_size": 4,
                "enc_n_layers": 1,
                "enc_ff_dim": 40,
                "enc_n_heads": 3,
                "proj_out_dim": DIM,
                "crop_size": 20,
                "overlap_margin": 1,
                "proj_inner_dim": 44,
            },
            "region": {"dim": DIM, "coord_feat_dim": 12, "size_feat_dim": 20, "inner_dim": 28},
            "tokenizer": {"templates": {"query": {"prefix": [1, 40, 2], "suffix": [3]}}},
        }
    )


@pytest.fixture(scope="module")
def checkpoint(config: Moondream2Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(config, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(FOLDER)
    threads = torch.get_num_threads()  # which a benchmark sets for the process
    names = ("report", "bandwidth", "subject", "decode", "first_token")
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    torch.set_num_threads(threads)
    for name in names:
        del sys.modules[name]


ONE_THREAD = ("--threads", "1")


def run(
    module: ModuleType, target: Path, *flags: str, threads: tuple[str, ...] = ONE_THREAD
) -> dict[str, Any]:
    assert module.main([*flags, *threads, "--rounds", "3", "--json", str(target)]) == 0
    report = json.loads(target.read_text(encoding="utf-8"))
    assert set(report) == {
        "benchmark", "created", "commit", "subject", "machine", "settings", "series", "notes",
    }  # fmt: skip
    assert set(report["subject"]) == {"model", "device", "dtype", "threads", "load_before"}
    assert report["machine"]["cores"] >= 1
    for row in report["series"]:
        assert row["n"] == len(row["samples"]) == 3
        assert 0 <= min(row["samples"]) <= row["low"] <= row["median"] <= row["high"] <= max(row["samples"])
    return report


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in report["series"]}


def test_first_token(bench: SimpleNamespace, checkpoint: Path, tmp_path: Path) -> None:
    report = run(
        bench.first_token, tmp_path / "new" / "out.json", "--model", str(checkpoint), "--image", "50x30"
    )
    assert report["subject"]["dtype"] == "float32"
    assert report["subject"]["model"] == checkpoint.name
    crops = report["settings"].pop("crops")
    assert crops > 2
    assert report["settings"] == {"image": "50 x 30", "prefix_positions": PREFIX, "question_positions": 29}
    series = by_name(report)
    assert series["new image"]["unit"] == "ms"
    assert series["of it: vision and prefix"]["median"] > 0
    pairs = zip(series["new image"]["samples"], series["second question"]["samples"], strict=True)
    ratios = series["new image / second question"]["samples"]
    assert ratios == pytest.approx([new / again for new, again in pairs], rel=1e-4)


def test_decode_counts_the_bytes_that_a_token_reads(
    bench: SimpleNamespace, checkpoint: Path, config: Moondream2Config, tmp_path: Path
) -> None:
    flags = ("--model", str(checkpoint), "--tokens", "5", "--scan-mib", "1", "--dtype", "bfloat16")
    report = run(bench.decode, tmp_path / "out.json", *flags)
    sizes = {name: torch.Size(shape).numel() for name, shape in expected_shapes(config).items()}
    read = sum(n for name, n in sizes.items() if name.startswith("text.") and name != "text.wte")
    settings = report["settings"]
    assert settings["weight_bytes_per_token"] == 2 * (read + DIM)
    before = settings["positions_before"]
    assert before == PREFIX + 29
    attended = sum(before + step for step in range(1, 6)) / 5
    assert settings["kv_bytes_per_token"] == 2 * 2 * LAYERS * KV_HEADS * HEAD_DIM * attended
    series = by_name(report)
    moved = (settings["weight_bytes_per_token"] + settings["kv_bytes_per_token"]) / 1e9
    speeds = series["decode"]["samples"]
    assert series["achieved"]["samples"] == pytest.approx([speed * moved for speed in speeds], rel=1e-4)
    limit = series["memory read limit, 1 thread"]["samples"]
    shares = [100 * a / b for a, b in zip(series["achieved"]["samples"], limit, strict=True)]
    assert series["achieved / limit"]["samples"] == pytest.approx(shares, rel=1e-4)
    cores = report["machine"]["cores"]
    assert (f"memory read limit, {cores} threads" in series) is (cores > 1)


def test_mlx_chooses_its_threads(bench: SimpleNamespace, checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlx.core")
    shared = ("--model", str(checkpoint), "--device", "mlx", "--dtype", "float32")
    decode = run(bench.decode, tmp_path / "a.json", *shared, "--tokens", "5", "--scan-mib", "1", threads=())
    first = run(bench.first_token, tmp_path / "b.json", *shared, "--image", "50x30", threads=())
    for report in (decode, first):
        assert report["subject"]["device"].startswith("mlx")
        assert report["subject"]["threads"] is None
        assert "threads used its own" in bench.report.table(report)
    on_torch = run(
        bench.decode, tmp_path / "c.json", "--model", str(checkpoint), "--tokens", "5", "--scan-mib", "1"
    )
    for bytes_read in ("weight_bytes_per_token", "kv_bytes_per_token"):
        assert decode["settings"][bytes_read] == on_torch["settings"][bytes_read]


def test_a_scan_of_device_memory_is_not_put_off(bench: SimpleNamespace) -> None:
    pytest.importorskip("mlx.core")
    size = 64 << 20
    assert 0 < bench.bandwidth.device_scan(open_device("mlx", "float32"), size)() < 1e12


@pytest.mark.parametrize(("cache", "said"), [(1 << 40, True), (16, False), (None, False)])
def test_weights_that_fit_in_the_cache_are_mentioned(
    bench: SimpleNamespace,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: int | None,
    said: bool,
) -> None:
    monkeypatch.setattr(bench.decode, "last_level_cache", lambda: cache)
    flags = ("--model", str(checkpoint), "--tokens", "1", "--scan-mib", "1")
    report = run(bench.decode, tmp_path / "out.json", *flags)
    assert any("fit in the last-level cache" in note for note in report["notes"]) is said


def test_full_size_is_random_and_bfloat16(
    bench: SimpleNamespace, config: Moondream2Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.subject, "Moondream2Config", lambda: config)
    report = run(bench.decode, tmp_path / "out.json", "--full-size", "--tokens", "40", "--scan-mib", "1")
    assert report["subject"]["dtype"] == "bfloat16"
    assert report["subject"]["model"] == "Moondream 2 (random weights)"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [(("--tokens", "41"), "room for 40 tokens, not 41"), (("--model", "sprite-99"), "No model 'sprite-99'")],
)
def test_what_cannot_be_measured_is_said(
    bench: SimpleNamespace,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    complaint: str,
) -> None:
    assert bench.decode.main(["--model", str(checkpoint), "--threads", "1", "--scan-mib", "1", *flags]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [("--image", "640"), ("--image", "0x5"), ("--rounds", "0"), ("--rounds", "x")]
)
def test_bad_flags_are_refused(bench: SimpleNamespace, flags: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        bench.first_token.main(flags)


def test_the_table_comes_from_the_stored_file(
    bench: SimpleNamespace, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.json"
    run(bench.first_token, target, "--model", str(checkpoint), "--image", "20x20")
    printed = capsys.readouterr().out
    again = subprocess.run(
        [sys.executable, str(FOLDER / "report.py"), str(target)], capture_output=True, text=True, check=True
    )
    assert again.stdout in printed
    assert "| new image | ms |" in again.stdout


def test_scans_read_everything(bench: SimpleNamespace) -> None:
    assert bench.bandwidth.host_scan(1 << 16, 3)() > 0
    assert bench.bandwidth.device_scan(open_device("cpu"), 1 << 16)() > 0
    with pytest.raises(ValueError, match="cannot share"):
        bench.bandwidth.host_scan(4, 2)


def test_spread(bench: SimpleNamespace) -> None:
    row = bench.report.Series("x", "ms", [5.0, 1.0, 2.0, 4.0, 3.0]).to_dict()
    assert (row["low"], row["median"], row["high"], row["n"]) == (2.0, 3.0, 4.0, 5)
    one = bench.report.Series("x", "ms", [7.0]).to_dict()
    assert (one["low"], one["median"], one["high"]) == (None, 7.0, None)


def test_the_largest_cache_counts(
    bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.report, "_CACHES", tmp_path)
    assert bench.report.last_level_cache() is None
    for index, size in enumerate(("48K", "32M", "1024K")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert bench.report.last_level_cache() == 32 << 20
