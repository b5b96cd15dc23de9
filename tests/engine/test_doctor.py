"""The engine's commands that look at the machine: `doctor` and `models`."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine.cli import main


@pytest.fixture(autouse=True)
def _nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def examined(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, dict[str, str]]:
    assert main(["doctor", *flags], {}) == 0
    return {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_what_ships_can_be_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, "--device", "cpu", "--port", str(free_port()))
    assert list(found) == ["python", "torch", "device", "weights", "memory", "engine port"]
    assert {finding["state"] for finding in found.values()} == {"ok"}
    assert found["device"]["said"] == "cpu, computing in float32"
    assert found["weights"]["said"] == "sprite-2 is on this machine, of all: sprite-2, sprite-3"


def test_weights_that_are_not_here_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, "--model", "moondream2", "--device", "cpu")
    assert found["weights"]["state"] == "warn"
    assert "dreamscope pull moondream2" in found["weights"]["todo"]


def test_a_model_that_does_not_fit_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamscope.engine.devices.cpu.CpuDevice.free_memory", lambda device: 1_000_000)
    found = examined(capsys, "--device", "cpu")
    assert found["memory"]["state"] == "fail"
    assert "The model needs" in found["memory"]["said"]


def test_a_model_that_nobody_knows_fails(capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, "--model", "no-such", "--device", "cpu")
    assert found["weights"]["state"] == "fail"
    assert "No model 'no-such'" in found["weights"]["said"]


def test_a_device_that_is_not_here_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = examined(capsys, "--device", "cuda")
    assert found["device"]["state"] == "fail"
    assert "No usable CUDA card" in found["device"]["said"]
    assert "memory" not in found


class _Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_who_has_the_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = examined(capsys, "--port", str(server.server_port))
        server.shutdown()
    assert found["engine port"]["state"] == "ok"
    assert "an engine runs there" in found["engine port"]["said"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = examined(capsys, "--port", str(taken.getsockname()[1]))
    assert found["engine port"]["state"] == "warn"


def test_models_tell_size_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"], {}) == 0
    listed = {model["id"]: model for model in json.loads(capsys.readouterr().out)}
    here, elsewhere = listed["sprite-2"], listed["moondream2"]
    assert (here["state"], elsewhere["state"]) == ("ready", "download")
    assert here["bytes"] == sum(
        (Path(here["where"]).parent / name).stat().st_size
        for name in ("model.safetensors", "tokenizer.json", "config.json")
    )
    assert (elsewhere["bytes"], elsewhere["where"]) == (3_900_000_000, "vikhyatk/moondream2 at 2025-06-21")
    assert main(["models"], {}) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("moondream2"))
    assert row.split()[:4] == ["moondream2", "download", "3.6", "GiB"]


def test_pull_checks_what_is_here_and_refuses_a_wrong_name_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "sprite-2", "no-such"], {}) == 1
    assert capsys.readouterr().out == ""
    assert main(["pull", "sprite-2", "sprite-3"], {}) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["sprite-2", "sprite-3"]
