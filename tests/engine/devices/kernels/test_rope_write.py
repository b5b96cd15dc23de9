"""Rotation and the write to pages against the reference, and that against the models' rotation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.rope import build_rope, rotate

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.rope_write")
pytestmark = pytest.mark.cuda

CPU = open_device("cpu", "float32")
MOONDREAM = {2: 10_000.0, 3: 1_500_000.0}
"""Bases of the rotary frequencies; both families rotate the first half of a head."""
SPAN = 40


def joint(rows: int, heads: int, groups: int, width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """q, k, v as slices of one projection."""
    random = torch.Generator().manual_seed(rows)
    qkv = torch.randn((rows, heads + 2 * groups, width), generator=random).to(dtype)
    return list(qkv.split((heads, groups, groups), 1))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    family=st.sampled_from(sorted(MOONDREAM)),
    positions=st.lists(st.integers(0, SPAN - 1), min_size=1, max_size=5),
    heads=st.integers(1, 3),
    groups=st.integers(1, 3),
    sides=st.sampled_from([(8, 4), (24, 12), (64, 32)]),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
def test_rows_of_a_step(family, positions, heads, groups, sides, dtype, place):
    width, rotary = sides
    rows = len(positions)
    q, k, v = joint(rows, heads * groups, groups, width, dtype)
    rope = build_rope(CPU, width, rotary, SPAN, MOONDREAM[family])
    table = torch.arange(1, rows * SPAN + 1, dtype=torch.int32).view(rows, SPAN)
    found, expected = [], []
    for compute, results in ((kernels.rope_write, found), (kernels.rope_write_reference, expected)):
        pages = [
            torch.full((rows * SPAN + 1, groups, width), 7.0, dtype=dtype, device=place) for _ in range(2)
        ]
        tables = tuple(x.to(place) for x in (rope.cos, rope.sin, rope.first, rope.second))
        where = torch.tensor(positions, dtype=torch.int32, device=place), table.to(place)
        turned = compute(*(x.to(place) for x in (q, k, v)), tables, *where, *pages)
        results.extend((turned, *pages))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_prompt_shares_one_row_of_the_table(place):
    q, k, v = (x.to(place) for x in joint(3, 2, 1, 8, torch.float32))
    rope = build_rope(CPU, 8, 4, SPAN)
    pages = [torch.zeros((10, 1, 8), device=place) for _ in range(2)]
    table = torch.tensor([4, 9, 2, 6, 1], dtype=torch.int32, device=place).expand(3, 5)
    positions = torch.arange(2, 5, dtype=torch.int32, device=place)
    tables = tuple(x.to(place) for x in (rope.cos, rope.sin, rope.first, rope.second))
    kernels.rope_write(q, k, v, tables, positions, table, *pages)
    assert torch.equal(pages[1][[2, 6, 1]], v)
    assert torch.equal(
        pages[1].abs().sum((1, 2)) > 0, torch.isin(torch.arange(10), torch.tensor([2, 6, 1])).to(place)
    )


@pytest.mark.parametrize("family", MOONDREAM)
def test_the_reference_rotates_like_the_models(family):
    q, k, v = joint(4, 3, 2, 16, torch.float32)
    rope = build_rope(CPU, 16, 8, SPAN, MOONDREAM[family])
    positions = torch.tensor([0, 7, 7, 39], dtype=torch.int32)
    pages = [torch.zeros((5, 2, 16)) for _ in range(2)]
    table = torch.arange(1, 5, dtype=torch.int32)[:, None].expand(4, SPAN)
    tables = rope.cos, rope.sin, rope.first, rope.second
    turned = kernels.rope_write_reference(q, k, v, tables, positions, table, *pages)
    rows = rope.cos[positions], rope.sin[positions]
    torch.testing.assert_close(turned, rotate(CPU, q[None], *rows, rope)[0])
    torch.testing.assert_close(pages[0][1:], rotate(CPU, k[None], *rows, rope)[0])
    assert torch.equal(pages[1][1:], v)
