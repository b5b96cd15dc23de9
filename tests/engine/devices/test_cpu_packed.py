"""Forms of small matrices that oneDNN reads without rearranging them."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.cpu_packed import SMALL, PackedMatrices

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")


@needs_onednn
def test_a_form_is_made_once_and_goes_with_its_matrix() -> None:
    packed, weight = PackedMatrices(), torch.randn(16, 24)
    form = packed.of(weight)
    assert form is not weight
    assert packed.of(weight) is form
    assert len(packed.all()) == 1
    del weight
    gc.collect()
    assert packed.all() == []


@needs_onednn
def test_a_large_matrix_is_not_kept_twice() -> None:
    packed, weight = PackedMatrices(), torch.zeros(SMALL // 4 // 64 + 1, 64)
    assert packed.of(weight) is weight
    assert packed.all() == []


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 40])
def test_products_are_the_same_with_and_without_it(
    monkeypatch: pytest.MonkeyPatch, onednn: bool, rows: int
) -> None:
    if not onednn:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    device, rng = CpuDevice("float32"), np.random.default_rng(rows)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, 24), (16, 24), 16))
    arrays = [device.array(each) for each in (x, weight, bias)]
    np.testing.assert_allclose(device.numpy(device.linear(*arrays)), x @ weight.T + bias, atol=1e-5)
    exact = device.numpy(device.gelu(device.linear(*arrays)))
    np.testing.assert_allclose(device.numpy(device.linear_gelu(*arrays)), exact, atol=1e-5)
    assert bool(device.kept()) == (onednn and torch.backends.mkldnn.is_available())
