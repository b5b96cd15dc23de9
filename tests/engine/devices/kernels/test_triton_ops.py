"""Operations by kernel are those of PyTorch, one by one and in a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dreamscope.engine.devices import cuda
from dreamscope.engine.devices.program import Feeds
from dreamscope.engine.devices.runner import Limits, Prefill
from dreamscope.engine.devices.torch_ops import TorchDevice
from dreamscope.engine.weights.load import load_model

ops: Any = pytest.importorskip("dreamscope.engine.devices.triton_ops")
paged_attention: Any = pytest.importorskip("dreamscope.engine.devices.kernels.paged_attention")
pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged_attention, "_MAX_SPLITS", 2)


@pytest.fixture(scope="module")
def devices(place: str) -> list[TorchDevice]:
    """By kernel, and plain."""
    return [kind("a device", "float32", torch.device(place)) for kind in (ops.TritonOps, TorchDevice)]


def test_attention_over_the_slices_of_a_projection(devices):
    found = []
    for device in devices:
        qkv = device.array(np.random.default_rng(1).normal(size=(3, 1, 8, 16)).astype(np.float32))
        q = device.split(device.permute(qkv, (0, 2, 1, 3)), (4, 2, 2), 1)[0][:, :, 0]
        pages = device.array(np.random.default_rng(2).normal(size=(2, 30, 2, 16)).astype(np.float32))
        table = device.array(np.random.default_rng(3).integers(0, 30, (3, 12)))[:, :11]
        lengths = device.array(np.array([1, 11, 6]))
        found.append(device.paged_attention(q, pages[0], pages[1], table, lengths))
    torch.testing.assert_close(*found)


def test_draws_with_numbers_that_lie_apart(devices):
    noise = np.random.default_rng(4)
    logits, numbers = noise.normal(0, 3, (6, 90)).astype(np.float32), noise.random((6, 4)).astype(np.float32)
    heat, top_p = np.array([0.3, 1, 1, 2, 1, 1], np.float32), np.array([0.9, 0.5, 1, 0.8, 0, 0.9], np.float32)
    found = []
    for device in devices:
        there = [device.array(values, exact=True) for values in (logits, heat, top_p, numbers)]
        found.append(device.draw(*there[:3], there[3][:, 2]).tolist())
    assert found[0] == found[1]


def test_packed_experts_rule_out_graphs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a card")
    monkeypatch.setattr(TorchDevice, "experts", lambda self, matrices: matrices)
    device = ops.TritonCudaDevice("float32")
    assert device.graphs
    device.experts("packed")
    assert not device.graphs


def test_packed_experts_stay_where_they_were(devices, monkeypatch):
    asked = []
    monkeypatch.setattr(TorchDevice, "expert_linear", lambda self, x, weight, ids: asked.append(weight))
    packed = object()
    devices[0].expert_linear(torch.zeros(1, 1, 8), packed, torch.zeros(1, 1, dtype=torch.int64))
    assert asked == [packed]


def test_a_model_decodes_the_same(devices, checkpoint):
    limits = Limits(max_batch=2, rows=4, max_seq=24, vocab=290, n_pages=40)
    logits = []
    for device in devices:
        program = load_model(checkpoint, device).batched(limits)
        prompts = [Prefill(1, 0, [0, 20, 30, 40], 0), Prefill(2, 0, [0, 50], 0)]
        program.table.host[1, :8], program.table.host[2, :8] = range(1, 9), range(30, 22, -1)
        program.table.upload()
        rows, positions = (device.array(np.array(values)) for values in ([1, 2], [4, 2]))
        with device.inference():
            first = program.prefill(prompts)
            program.choose(rows, first, rows * 0, None, numbers=False)
            logits.append(program.decode(Feeds(rows, positions, None, limits.max_seq)).logits.cpu())
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("installed", "capability", "kind"),
    [(True, (8, 0), "Triton"), (True, (7, 5), "Cuda"), (False, (9, 0), "Cuda")],
)
def test_which_cards_have_kernels(installed, capability, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: installed or None)
    device = cuda.open_cuda("float32")
    assert device.name == "cuda (a card)"
    assert isinstance(device, ops.TritonCudaDevice if kind == "Triton" else cuda.CudaDevice)
    assert isinstance(device, ops.TritonOps) == device.graphs == (kind == "Triton")
