"""The benchmarks of the running engine: their figures follow from their samples. No times are judged."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ("report", "bandwidth", "subject", "serving", "sim_rows", "pipeline", "throughput", "ttft", "soak")
ONE_THREAD = ("--device", "cpu", "--threads", "1")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(FOLDER)
    threads = torch.get_num_threads()  # which a benchmark sets for the process
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    torch.set_num_threads(threads)
    for name in NAMES:
        del sys.modules[name]


def run(module: Any, target: Path, *flags: str) -> list[dict[str, Any]]:
    """The cases that were stored; the table lies beside them."""
    assert module.main([*flags, "--quick", "--json", str(target)]) == 0
    return stored(target)


def stored(target: Path) -> list[dict[str, Any]]:
    cases = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    rows = target.with_suffix(".md").read_text(encoding="utf-8").strip().splitlines()[4:]
    assert len(rows) == 2 + len(cases)
    for case in cases:
        assert case["machine"]["cores"] >= 1
        assert case["subject"]["load_before"] is not None
        assert rows[0].count("|") == 1 + len(case["case"]) + len(case["figures"])
    return cases


def test_pipeline_predicts_and_measures(bench, tmp_path):
    target = tmp_path / "pipeline.jsonl"
    by_length = run(bench.pipeline, target, *ONE_THREAD, "--streams", "2")
    assert [case["case"] for case in by_length] == [{"streams": 2}]
    figures, samples = by_length[0]["figures"], by_length[0]["samples"]
    parts = ["f", "s", "c", "bl", "bm", "bc", "bd", "w"]
    times = bench.pipeline.StepTimes(*(samples[name][0] for name in parts))
    assert figures["speedup predicted"] == pytest.approx(times.blocking / times.pipelined, rel=1e-3)
    assert figures["speedup"] == pytest.approx(samples["T1"][0] / samples["T2"][0], rel=1e-3)
    assert min(samples["f"] + samples["s"]) > 0
    ends = stored(target.with_name("pipeline-ends.jsonl"))
    assert [case["case"]["answers"] for case in ends] == ["direct", "reasoning"]
    assert ends[0]["figures"]["L"] < ends[1]["figures"]["L"]
    assert ends[0]["figures"]["zombie rows %"] > ends[1]["figures"]["zombie rows %"] > 0


def test_the_simulated_device_has_a_table_of_its_own(bench, tmp_path):
    (case,) = run(bench.pipeline, tmp_path / "sim.jsonl", "--simulated", "B200-like", "--streams", "1")
    assert case["subject"]["device"] == "sim"
    assert case["figures"]["f"] >= 3.2
    assert not (tmp_path / "sim-ends.jsonl").exists()


def test_answers_end_again_after_they_did_not(bench):
    options = bench.serving.parser_of("", 1).parse_args([*ONE_THREAD, "--quick"])
    subject = bench.subject.open_subject(options)
    bias, end = subject.model.weights.text.lm_head.bias, subject.model.config.tokenizer.eos_id
    before = float(bias[end])
    with bench.pipeline.endless(subject):
        assert float(bias[end]) < -1e6
    assert float(bias[end]) == before


def test_throughput_answers_the_same_with_both_engines(bench, tmp_path):
    direct, reasoning = run(bench.throughput, tmp_path / "t.jsonl", *ONE_THREAD)
    assert (direct["case"]["images"], reasoning["case"]["images"]) == ("new", "seen")
    assert direct["figures"]["tokens out"] < 10 < reasoning["figures"]["tokens out"]
    assert direct["figures"]["cached %"] < reasoning["figures"]["cached %"] < 100
    for case in (direct, reasoning):
        figures, samples = case["figures"], case["samples"]
        ratio = samples["sequential s"][0] / samples["engine s"][0]
        assert figures["times sequential"] == pytest.approx(ratio, rel=1e-3)
        assert figures["P50 ms"] <= figures["P90 ms"] <= figures["P95 ms"] <= max(samples["served ms"]) + 0.1


def test_ttft_tells_what_the_engine_knows_of_the_image(bench, tmp_path):
    cases = run(bench.ttft, tmp_path / "t.jsonl", *ONE_THREAD, "--streams", "2")
    assert [case["case"]["question"] for case in cases] == list(bench.ttft.KINDS)
    assert all(len(case["samples"]["ms"]) == 2 and min(case["samples"]["ms"]) > 0 for case in cases)


@pytest.mark.parametrize(
    ("memory", "flat"),
    [([100.0, 104, 103, 104], True), ([100.0, 104, 120, 104], False), ([90.0, 100, 104, 109, 114], False)],
)
def test_growth_is_seen(bench, memory, flat):
    assert bench.soak.is_flat(memory) is flat


@pytest.mark.slow
def test_a_minute_of_mixed_load_leaves_nothing_behind(bench, tmp_path):
    target = tmp_path / "soak.jsonl"
    assert bench.soak.main([*ONE_THREAD, "--minutes", "1", "--rests", "6", "--json", str(target)]) == 0
    last = stored(target)[-1]["figures"]
    assert (last["pages held"], last["running"], last["failed"]) == (0, 0, 0)
    assert min(last["cancelled"], last["answered"], last["evictions"]) > 0


def test_soak_runs(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench.soak, "is_flat", lambda memory: True)  # half a second says nothing about it
    cases = run(bench.soak, tmp_path / "soak.jsonl", *ONE_THREAD)
    assert all(case["figures"]["pages held"] == 0 and case["figures"]["failed"] == 0 for case in cases)
    assert cases[-1]["figures"]["asked"] >= 24
