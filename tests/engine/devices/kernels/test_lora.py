"""Adapters of a mixed batch against the reference, and against one adapter applied to everybody."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.lora import Adapter, ExpertLowRank, LowRank, adapt_all

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.lora")
pytestmark = pytest.mark.cuda

SLOTS, EXPERTS = 4, 3
TOLERANCE = {torch.float32: 1e-5, torch.float16: 5e-3}
ranks = st.sampled_from([1, 5, 16, 20])
sides = st.sampled_from([(8, 8), (20, 72), (140, 24)])
dtypes = st.sampled_from(sorted(TOLERANCE, key=str))
few = settings(max_examples=10, deadline=None, derandomize=True)


def noise(*shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(sum(shape))
    return (torch.randn(shape, generator=random) * scale).to(dtype)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    tolerance = TOLERANCE[one.dtype]
    torch.testing.assert_close(one.cpu(), other, atol=tolerance, rtol=tolerance)


@few
@given(
    slots=st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4),
    rank=ranks,
    sides=sides,
    dtype=dtypes,
    transposed=st.booleans(),
)
def test_a_linear(slots, rank, sides, dtype, transposed, place):
    out, into = sides
    slot = torch.tensor(slots, dtype=torch.int32)
    x, y = noise(len(slots), into, dtype=dtype), noise(len(slots), out, dtype=dtype)
    a, b = (
        noise(SLOTS, rank, into, dtype=dtype, scale=into**-0.5),
        noise(SLOTS, out, rank, dtype=dtype, scale=rank**-0.5),
    )
    if transposed:
        a, b = (matrices.mT.contiguous().mT for matrices in (a, b))
    found = kernels.lora(*(t.to(place) for t in (x, a, b, slot)), y.clone().to(place))
    same(found, kernels.lora_reference(x, a, b, slot, y.clone()))
    assert torch.equal(found.cpu()[slot == 0], y[slot == 0])


@few
@given(
    slots=st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4),
    k=st.integers(1, EXPERTS),
    each=st.booleans(),
    rank=ranks,
    sides=sides,
    dtype=dtypes,
)
def test_a_linear_of_a_mixture(slots, k, each, rank, sides, dtype, place):
    (out, into), rows, pairs = sides, len(slots), (SLOTS - 1) * EXPERTS
    slot, ids = torch.tensor(slots, dtype=torch.int32), noise(rows, EXPERTS).argsort(1)[:, :k].contiguous()
    x, y = noise(rows, k if each else 1, into, dtype=dtype), noise(rows, k, out, dtype=dtype)
    a, b = (
        noise(pairs, rank, into, dtype=dtype, scale=into**-0.5),
        noise(pairs, out, rank, dtype=dtype, scale=rank**-0.5),
    )
    found = kernels.expert_lora(*(t.to(place) for t in (x, a, b, slot, ids)), EXPERTS, y.clone().to(place))
    same(found, kernels.expert_lora_reference(x, a, b, slot, ids, EXPERTS, y.clone()))
    assert torch.equal(found.cpu()[slot == 0], y[slot == 0])


def test_the_references_are_one_adapter_at_a_time():
    """I32: a row of a mixed batch is the same row in a batch of its own adapter."""
    device = open_device("cpu", "float32")
    a, b, x = noise(SLOTS, 2, 8), noise(SLOTS, 6, 2), noise(3, 8)
    pairs = noise((SLOTS - 1) * EXPERTS, 2, 8), noise((SLOTS - 1) * EXPERTS, 6, 2)
    slot, ids = torch.tensor([2, 0, 3], dtype=torch.int32), torch.tensor([[0, 2], [1, 0], [2, 1]])
    found = kernels.lora_reference(x, a, b, slot, torch.zeros(3, 6))
    mixed = kernels.expert_lora_reference(x[:, None], *pairs, slot, ids, EXPERTS, torch.zeros(3, 2, 6))
    for row, used in ((0, 2), (2, 3)):
        dense = LowRank(a[used].T.contiguous(), b[used].T.contiguous())
        own = slice((used - 1) * EXPERTS, used * EXPERTS)
        adapter = Adapter("", [{"qkv": dense, "fc1": ExpertLowRank(pairs[0][own], pairs[1][own])}], 0)
        adapt = adapt_all(device, adapter)
        same(adapt(0, "qkv", torch.zeros(1, 1, 6), x[None, row : row + 1])[0, 0], found[row])
        chosen = x[row : row + 1, None], ids[row : row + 1]
        same(adapt(0, "fc1", torch.zeros(1, 2, 6), *chosen)[0], mixed[row])
    assert not found[1].any()
    assert not mixed[1].any()
