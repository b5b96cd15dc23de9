"""Which runner a device gets."""

from __future__ import annotations

from types import SimpleNamespace

from dreamscope.engine.devices import runners
from dreamscope.engine.devices.cuda import CudaDevice


def test_a_card_gets_a_runner_with_streams(monkeypatch):
    device = CudaDevice.__new__(CudaDevice)
    program = SimpleNamespace(device=device)
    model = SimpleNamespace(batched=lambda limits: program)
    monkeypatch.setattr(runners, "open_cuda_runner", lambda *arguments: arguments)
    assert runners.build_runner(model, clock=print) == (program, device, print)
