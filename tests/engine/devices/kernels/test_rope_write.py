"""Rotation and the write to pages against the reference, and that against the models' rotation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.devices.base import Rotation
from dreamscope.engine.devices.composed import rotate
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.rope import build_rope

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.rope_write")
pytestmark = pytest.mark.cuda

CPU = open_device("cpu", "float32")
MOONDREAM = {2: 10_000.0, 3: 1_500_000.0}
"""Bases of the rotary frequencies; both families rotate the first half of a head."""
SPAN = 40


def joint(rows: int, heads: int, groups: int, width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries with keys, and values, as slices of one projection."""
    random = torch.Generator().manual_seed(rows)
    qkv = torch.randn((rows, heads + 2 * groups, width), generator=random).to(dtype)
    return list(qkv.split((heads + groups, groups), 1))


def rotation(
    width: int, rotary: int, positions: list[int], theta: float = MOONDREAM[2], place: str = "cpu"
) -> Rotation:
    rope = build_rope(CPU, width, rotary, SPAN, theta)
    rows = rope._replace(cos=rope.cos[positions], sin=rope.sin[positions])
    return Rotation(*(table.to(place) for table in rows))


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
    qk, v = joint(rows, heads * groups, groups, width, dtype)
    turns = rotation(width, rotary, positions, MOONDREAM[family], place)
    where = torch.randperm(rows + 5, generator=torch.Generator().manual_seed(rows))[:rows].to(place)
    found, expected = [], []
    for compute, results in ((kernels.rope_write, found), (kernels.rope_write_reference, expected)):
        pages = [torch.full((rows + 5, groups, width), 7.0, dtype=dtype, device=place) for _ in range(2)]
        turned = compute(*(x.to(place) for x in (qk, v)), turns, where, *pages)
        results.extend((turned, *pages))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("family", MOONDREAM)
def test_the_reference_rotates_like_the_models(family):
    qk, v = joint(4, 3, 2, 16, torch.float32)
    turns = rotation(16, 8, [0, 7, 7, 39], MOONDREAM[family])
    pages = [torch.zeros((5, 2, 16)) for _ in range(2)]
    queries = kernels.rope_write_reference(qk, v, turns, torch.arange(1, 5), *pages)
    torch.testing.assert_close(torch.cat((queries, pages[0][1:]), 1), rotate(CPU, qk, turns))
    assert torch.equal(pages[1][1:], v)
