"""The benchmarks of the pipelined engine: simulated gains are those of the formulas, and say so."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ("report", "bandwidth", "subject", "sim_rows", "overhead", "overlap_cpu", "overlap_mlx")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(FOLDER)
    threads = torch.get_num_threads()  # which a benchmark sets for the process
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    torch.set_num_threads(threads)
    for name in NAMES:
        del sys.modules[name]


@pytest.mark.parametrize(("device", "expected"), [("B200-like", 35.0), ("3090-like", 11.7)])
def test_the_published_gains_come_out_of_the_simulation(bench, device, expected):
    assert bench.sim_rows.gain(bench.sim_rows.ROWS[device], 8) == pytest.approx(expected, abs=0.1)


def test_a_blocking_mask_upload_takes_the_gain_away(bench):
    times = bench.sim_rows.ROWS["B200-like"]
    gains = [bench.sim_rows.gain(times, 4, ms) for ms in bench.sim_rows.UPLOADS]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("steps", [30, 3])
def test_one_stream_pays_for_its_zombies_as_predicted(bench, steps):
    sim = bench.sim_rows
    times = sim.ROWS["3090-like"]
    gain = sim.Run(times, 2, 1).rate(steps) / sim.Run(times, 1, 1).rate(steps)
    assert gain == pytest.approx(sim.speedup(times, steps + 1), abs=1e-3)


def test_simulated_rows_say_so(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench.sim_rows, "STREAMS", 3)
    monkeypatch.setattr(bench.sim_rows, "ANSWER_STEPS", (3,))
    monkeypatch.setattr(bench.sim_rows, "SWEEP", (4.0,))
    assert bench.sim_rows.main(["--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("Simulated: no GPU was involved.") == 3
    for path in tmp_path.iterdir():
        report = json.loads(path.read_text(encoding="utf-8"))
        assert report["subject"]["device"].startswith("a simulated device")
    assert len(list(tmp_path.iterdir())) == 3


def test_overhead_takes_the_device_off(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.overhead, "ROWS", (1, 3))
    target = tmp_path / "overhead.json"
    assert bench.overhead.main(["--steps", "4", "--output", str(target)]) == 0
    rows = {row["name"]: row for row in json.loads(target.read_text(encoding="utf-8"))["series"]}
    for count in (1, 3):
        assert len(rows[f"step, {count} rows"]["samples"]) == 4
        parts = [rows[f"{part}, {count} rows"]["samples"] for part in ("commit", "mask", "launch")]
        for whole, *some in zip(rows[f"step, {count} rows"]["samples"], *parts, strict=True):
            assert whole > sum(some) > 0


def test_overhead_refuses_no_steps(bench, capsys):
    with pytest.raises(SystemExit):
        bench.overhead.main(["--steps", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_overlap_compares_the_forms_of_a_step(bench, tmp_path):
    target = tmp_path / "overlap.json"
    flags = ("--device", "cpu", "--threads", "1", "--batch", "2", "--rounds", "2", "--steps", "3")
    assert bench.overlap_cpu.main([*flags, "--bookkeeping", "0.5", "--json", str(target)]) == 0
    rows = {row["name"]: row["samples"] for row in json.loads(target.read_text(encoding="utf-8"))["series"]}
    for form in ("traced", "eager"):
        depths = zip(*(rows[f"2 rows, {form}: step at depth {depth}"] for depth in (1, 2)), strict=True)
        hidden = [(one - two) / 0.5 for one, two in depths]
        assert rows[f"2 rows, {form}: hidden"] == pytest.approx(hidden, abs=1e-3)
    assert min(rows["2 rows, inline: step"]) > 0.3  # the bookkeeping is in it


def test_overlap_is_about_the_processor(bench, capsys):
    pytest.importorskip("mlx.core")
    assert bench.overlap_cpu.main(["--device", "mlx"]) == 1
    assert "--device cpu" in capsys.readouterr().err


def test_overlap_in_mlx(bench, tmp_path, capsys):
    pytest.importorskip("mlx.core")
    target = tmp_path / "overlap.json"
    flags = ("--device", "mlx", "--batch", "2", "--rounds", "2", "--steps", "3", "--json", str(target))
    assert bench.overlap_mlx.main(flags) == 0
    rows = {row["name"]: row["samples"] for row in json.loads(target.read_text(encoding="utf-8"))["series"]}
    for launch, over in zip(rows["2 rows: launch"], rows["2 rows: handing over"], strict=True):
        assert launch > over > 0
    assert min(rows["2 rows: lock free"]) >= 0
    assert bench.overlap_mlx.main(["--device", "cpu"]) == 1
    assert "--device mlx" in capsys.readouterr().err
