"""The fused sampler against its reference, and the reference against the sampler on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.runtime import sampling
from dreamscope.engine.skills.base import Step

kernels: Any = pytest.importorskip("dreamscope.engine.devices.kernels.sample")
pytestmark = pytest.mark.cuda

MASKS = 4
Row = tuple[int, float, float, float]
"""Mask, temperature, top-p, uniform number."""
row_of = st.tuples(
    st.integers(0, MASKS - 1),
    st.sampled_from([0.0, 0.2, 1.0, 3.0]),
    st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    st.floats(0, 1, exclude_max=True, width=32),
)


def masks_of(vocab: int) -> torch.Tensor:
    """Mask 0 is not to be read, mask 1 leaves a single id, the others about half and a few."""
    noise = torch.rand((MASKS, vocab), generator=torch.Generator().manual_seed(vocab))
    masks = noise < torch.tensor([0.0, 0.0, 0.5, 0.1])[:, None]
    masks[1:, vocab // 2] = True
    return masks


def logits_of(seed: int, rows: int, vocab: int) -> torch.Tensor:
    """Half of the logits occur many times."""
    logits = torch.randn((rows, vocab), generator=torch.Generator().manual_seed(seed)) * 3
    return torch.where(torch.arange(vocab) % 2 == 0, logits.round(), logits)


def both(
    logits: torch.Tensor, masks: torch.Tensor, rows: list[Row], place: str
) -> tuple[list[int], list[int]]:
    rule = torch.tensor([row[0] for row in rows], dtype=torch.int32)
    numbers = [torch.tensor([row[i] for row in rows], dtype=torch.float32) for i in (1, 2, 3)]
    arguments = logits, masks, rule, *numbers
    found = kernels.sample(*(x.to(place) for x in arguments))
    return found.tolist(), kernels.sample_reference(*arguments).tolist()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.lists(row_of, min_size=1, max_size=4),
    vocab=st.sampled_from([1, 7, 128, 300]),
    block=st.sampled_from([64, 2048]),
    seed=st.integers(0, 99),
)
def test_rows_of_a_step(rows, vocab, block, seed, place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_BLOCK", block)
        found, expected = both(logits_of(seed, len(rows), vocab), masks_of(vocab), rows, place)
    assert found == expected


@pytest.mark.parametrize("heat", [0.0, 1.0])
def test_rows_without_a_choice(heat, place):
    nan, inf = float("nan"), float("inf")
    logits = torch.tensor([[1.0, nan, 2.0], [-inf] * 3, [inf, 0.0, 0.0], [nan, 1.0, nan], [1.0, 2.0, 3.0]])
    masks = torch.tensor([[True] * 3, [False, True, False], [False] * 3])
    rows: list[Row] = [(rule, heat, 0.9, 0.5) for rule in (0, 0, 0, 1, 2)]
    found, expected = both(logits, masks, rows, place)
    assert found == expected == [-1, -1, -1, 1, -1]


def test_the_first_of_equals(place):
    logits = torch.tensor([[0.0, 5.0, 5.0, 5.0]]).expand(4, 4).contiguous()
    masks = torch.ones((1, 4), dtype=torch.bool)
    # A nucleus of nothing is the best id; half of four equal ones takes three, as those before weigh half.
    rows: list[Row] = [(0, 0.0, 1.0, 0.9), (0, 1.0, 0.0, 0.9)]
    assert both(logits[:2], masks, rows, place)[0] == [1, 1]
    level = torch.zeros((3, 4))
    drawn = both(level, masks, [(0, 1.0, 0.5, u) for u in (0.0, 0.5, 0.99)], place)[0]
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_the_reference_has_the_distribution_of_the_host(temperature, top_p):
    """Over numbers that lie densely, every id comes as often as it should."""
    vocab, count = 60, 997
    logits, allowed = logits_of(5, 1, vocab), masks_of(vocab)[2]
    numbers = (torch.arange(count) + 0.5) / count
    rule = torch.full((count,), 2, dtype=torch.int32)
    level = torch.full((count,), temperature), torch.full((count,), top_p)
    ids = kernels.sample_reference(logits.expand(count, vocab), masks_of(vocab), rule, *level, numbers)
    left = sampling.masked(
        logits[0].numpy(), Step("text", allowed=frozenset(allowed.nonzero()[:, 0].tolist()))
    )
    wanted = sampling.distribution(left, temperature, top_p)
    assert ids.tolist() == [sampling.draw(wanted, float(u)) for u in numbers]
    np.testing.assert_allclose(torch.bincount(ids, minlength=vocab).numpy() / count, wanted, atol=2 / count)


def test_greedy_begins_where_it_does_on_the_host():
    assert kernels.GREEDY_BELOW == sampling.GREEDY_BELOW
