"""Experts against the reference, the devices' own products, and a whole mixture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.layers import Linear
from dreamscope.engine.models.moe import Moe, moe

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.moe")
pytestmark = pytest.mark.cuda

TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3}


def choices(rows: int, k: int, experts: int, crowd: int) -> torch.Tensor:
    """k different experts for each row, of the first `crowd` only."""
    random = torch.Generator().manual_seed(rows)
    return torch.rand((rows, min(crowd, experts)), generator=random).argsort(1)[:, :k]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 40),
    k=st.integers(1, 3),
    experts=st.integers(3, 6),
    crowd=st.integers(3, 6),
    sides=st.sampled_from([(8, 8), (20, 72), (70, 24)]),
    each=st.booleans(),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
)
def test_rows_through_their_experts(rows, k, experts, crowd, sides, each, dtype, place):
    random = torch.Generator().manual_seed(1)
    out, into = sides
    weight = (torch.randn((experts, out, into), generator=random) / into**0.5).to(dtype)
    x = torch.randn((rows, k if each else 1, into), generator=random).to(dtype)
    ids = choices(rows, k, experts, crowd)
    found = kernels.expert_linear(x.to(place), weight.to(place), ids.to(place)).cpu()
    torch.testing.assert_close(
        found, kernels.expert_linear_reference(x, weight, ids), atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
    )
    torch.testing.assert_close(
        found, torch_experts.expert_linear(x, weight, ids), atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
    )


def test_a_crowd_that_takes_larger_blocks(place):
    x, weight = torch.randn(40, 1, 8), torch.randn(2, 12, 8)
    ids = torch.zeros((40, 1), dtype=torch.int64)  # nobody wants expert 1
    assert ids.numel() > kernels._SMALLEST * 2
    found = kernels.expert_linear(x.to(place), weight.to(place), ids.to(place)).cpu()
    torch.testing.assert_close(found, kernels.expert_linear_reference(x, weight, ids))


@pytest.mark.parametrize(("rows", "experts"), [(1, 4), (33, 5), (600, 3)])
def test_choices_are_grouped_in_order(rows, experts, place):
    ids = choices(rows, 2, experts, experts).to(place)
    grouped, spans = kernels.group_by_expert(ids, experts)
    expected, ends = kernels.group_by_expert_reference(ids, experts)
    assert torch.equal(grouped, expected)
    assert torch.equal(spans, ends)


class KernelDevice(CpuDevice):
    """A processor whose experts are the kernel's."""

    def expert_linear(self, x: torch.Tensor, weight: Any, ids: torch.Tensor) -> torch.Tensor:
        return kernels.expert_linear(x.to(PLACE), weight.to(PLACE), ids.to(PLACE)).cpu()


PLACE = "cuda" if torch.cuda.is_available() else "cpu"


def test_a_mixture_of_moondream_3():
    random = torch.Generator().manual_seed(2)
    router = Linear(torch.randn((5, 16), generator=random), torch.randn(5, generator=random))
    fc1, fc2 = torch.randn((5, 24, 16), generator=random) / 4, torch.randn((5, 16, 12), generator=random) / 4
    layer = Moe(router, fc1, fc2, active=2)
    x = torch.randn((2, 3, 16), generator=random)
    expected = moe(open_device("cpu", "float32"), x, layer)
    torch.testing.assert_close(moe(KernelDevice("float32"), x, layer), expected, atol=1e-5, rtol=1e-5)
