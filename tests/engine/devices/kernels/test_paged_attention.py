"""Attention over pages against its reference, and the reference against the devices' own attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices.registry import open_device

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.paged_attention")
pytestmark = pytest.mark.cuda

TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3}
dtypes = st.sampled_from(sorted(TOLERANCE, key=str))
widths = st.sampled_from([8, 24, 64])
few = settings(max_examples=10, deadline=None, derandomize=True)


class Pool:
    """Pages of noise, mapped at random and never page 0; what is mapped to nobody is NaN."""

    def __init__(self, seed: int, rows: int, span: int, heads: int, width: int, dtype: torch.dtype) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.dtype = dtype
        pages = rows * span + 5
        self.table = (1 + torch.randperm(pages - 1, generator=self.random)[: rows * span]).view(rows, span)
        self.k, self.v = self.noise(pages, heads, width), self.noise(pages, heads, width)
        unused = torch.ones(pages, dtype=torch.bool).index_fill_(0, self.table.flatten(), False)
        self.k[unused], self.v[unused] = float("nan"), float("nan")

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.random).to(self.dtype)

    def forget(self, lengths: torch.Tensor) -> None:
        """Make everything NaN that lies behind the ends of the rows."""
        for row, length in enumerate(lengths.tolist()):
            behind = self.table[row, length:]
            self.k[behind], self.v[behind] = float("nan"), float("nan")


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    tolerance = TOLERANCE[one.dtype]
    torch.testing.assert_close(one.cpu(), other.cpu(), atol=tolerance, rtol=tolerance)


@few
@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    groups=st.integers(1, 2),
    share=st.integers(1, 3),
    width=widths,
    dtype=dtypes,
    seed=st.integers(0, 99),
)
def test_a_decode_step(lengths, groups, share, width, dtype, seed, place):
    pool = Pool(seed, len(lengths), max(lengths) + 3, groups, width, dtype)
    ends = torch.tensor(lengths, dtype=torch.int32)
    pool.forget(ends)
    q = pool.noise(len(lengths), groups * share + 1, width)[:, 1:]  # as a slice of queries and keys
    arguments = [x.to(place) for x in (q, pool.k, pool.v, pool.table.int(), ends)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_MAX_SPLITS", 4)
        found = kernels.paged_attention(*arguments)
    same(found, kernels.paged_attention_reference(*arguments))


@pytest.mark.parametrize("programs", [1, 64])
def test_a_step_of_many_rows_is_not_split(programs, place, monkeypatch):
    monkeypatch.setattr(kernels, "_PROGRAMS", programs)
    pool = Pool(0, 2, 130, 2, 16, torch.float32)
    ends = torch.tensor([130, 64], dtype=torch.int32)
    arguments = [x.to(place) for x in (pool.noise(2, 4, 16), pool.k, pool.v, pool.table.int(), ends)]
    same(kernels.paged_attention(*arguments), kernels.paged_attention_reference(*arguments))


@few
@given(
    length=st.integers(1, 140),
    start=st.integers(0, 90),
    seen=st.floats(0, 1),
    groups=st.integers(1, 2),
    share=st.integers(1, 2),
    width=widths,
    dtype=dtypes,
)
def test_a_prompt(length, start, seen, groups, share, width, dtype, place):
    pool = Pool(length, 1, start + length, groups, width, dtype)
    q = pool.noise(length, groups * share, width)
    arguments = [x.to(place) for x in (q, pool.k, pool.v, pool.table[0].int())]
    arguments += [int(seen * (start + length))]
    same(kernels.prefix_attention(*arguments), kernels.prefix_attention_reference(*arguments))


@pytest.mark.parametrize(("start", "block"), [(0, 5), (0, 9), (5, 5), (3, 0)])
def test_the_references_are_the_attention_of_the_devices(start, block):
    pool = Pool(1, 1, 9, 2, 8, torch.float32)
    q = pool.noise(9 - start, 4, 8)
    keys, values = (x[pool.table[0]].permute(1, 0, 2)[None] for x in (pool.k, pool.v))
    positions = np.arange(9)
    mask = (positions <= positions[start:, None]) | ((positions < block) & (positions[start:, None] < block))
    device = open_device("cpu", "float32")
    expected = device.attention(q.permute(1, 0, 2)[None], keys, values, torch.from_numpy(mask))[0]
    same(
        kernels.prefix_attention_reference(q, pool.k, pool.v, pool.table[0], block).permute(1, 0, 2),
        expected,
    )
    if block <= start:
        last = kernels.paged_attention_reference(q[-1:], pool.k, pool.v, pool.table, torch.tensor([9]))
        same(last[0], expected[:, -1])
