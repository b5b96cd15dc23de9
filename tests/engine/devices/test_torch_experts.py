"""Matrices that stay packed in PyTorch: the products in every dtype, in pieces too, and what they take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.base import Device, Fp8Matrices, Int4Matrices, Matrices
from dreamscope.engine.devices.registry import open_device

EXPERTS, OUT, IN, GROUP = 6, 10, 128, 64
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 3e-3}


@pytest.fixture(params=sorted(TOLERANCE))
def device(request: pytest.FixtureRequest) -> Device:
    return open_device("cpu", request.param)


def _int4(stored: str) -> tuple[Int4Matrices, np.ndarray]:
    """Packed, and the numbers that it stands for, one at a time."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (EXPERTS, OUT, IN))
    words = np.zeros((EXPERTS, OUT, IN // 8), np.uint32)
    for place in range(8):
        words |= codes[..., place::8].astype(np.uint32) << np.uint32(4 * place)
    bits, wide = [], []
    for low, high in ((0.005, 0.01), (-0.1, 0.01)):
        values = torch.from_numpy(rng.uniform(low, high, (EXPERTS, OUT, IN // GROUP)))
        kept = values.to({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[stored])
        bits.append((kept.view(torch.uint16) if stored == "BF16" else kept).numpy())
        wide.append(kept.double().numpy().repeat(GROUP, -1))
    return Int4Matrices(words, *bits, stored), codes * wide[0] + wide[1]  # type: ignore[arg-type]


def _fp8() -> tuple[Fp8Matrices, np.ndarray]:
    rng = np.random.default_rng(2)
    codes = torch.from_numpy(rng.normal(0, 100, (EXPERTS, OUT, IN))).to(torch.float8_e4m3fn)
    scales = rng.uniform(1e-3, 2e-3, (EXPERTS, OUT)).astype(np.float32)
    dense = codes.double().numpy() * scales[..., None]
    return Fp8Matrices(codes.view(torch.uint8).numpy(), scales), dense


FORMS = {"F32": _int4, "F16": _int4, "BF16": _int4, "fp8": lambda _: _fp8()}


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> tuple[Matrices, np.ndarray]:
    made: tuple[Matrices, np.ndarray] = FORMS[request.param](request.param)
    return made


@pytest.mark.parametrize("piece", [IN, 3 * IN, 1 << 19])
@pytest.mark.parametrize("rows", [1, 2, 40])
@pytest.mark.parametrize("each", [False, True])
def test_products_are_those_of_the_numbers(
    device: Device,
    form: tuple[Matrices, np.ndarray],
    rows: int,
    each: bool,
    piece: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_experts, "_CPU_PIECE", piece)
    packed, dense = form
    rng = np.random.default_rng(rows)
    k = 3
    ids = np.stack([rng.permutation(EXPERTS - 1)[:k] for _ in range(rows)])  # nobody chooses the last one
    x = device.array(rng.uniform(-1, 1, (rows, k if each else 1, IN)).astype(np.float32))
    seen = np.broadcast_to(device.numpy(x), (rows, k, IN))  # as rounded to the compute dtype
    expected = np.einsum("nki,nkoi->nko", seen, dense[ids])
    actual = device.expert_linear(x, device.experts(packed), device.array(ids))
    assert actual.dtype == x.dtype
    np.testing.assert_allclose(device.numpy(actual), expected, atol=TOLERANCE[device.dtype])


def test_they_take_what_they_take_in_the_file(device: Device, form: tuple[Matrices, np.ndarray]) -> None:
    packed, dense = form
    kept = device.experts(packed)
    assert tuple(kept.shape) == dense.shape
    parts = [packed.codes, packed.scales, *([packed.biases] if isinstance(packed, Int4Matrices) else [])]
    assert kept.nbytes == sum(part.nbytes for part in parts)
    np.testing.assert_allclose(device.numpy(kept), dense, atol=1e-6)


def test_the_source_may_change_afterwards(device: Device, form: tuple[Matrices, np.ndarray]) -> None:
    packed, dense = form
    kept = device.experts(packed)
    for part in (packed.codes, packed.scales):
        part[...] = 0
    np.testing.assert_allclose(device.numpy(kept), dense, atol=1e-6)
