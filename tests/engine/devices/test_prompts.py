"""Prompts that are read in one pass see what they would see alone, whoever attends together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.runner import ImageKey, Prefill
from dreamscope.engine.models import prompts as module
from dreamscope.engine.models.prompts import Prompt, placed, portions

HEADS, GROUPS, DIM, PAGES = 4, 2, 8, 3000
BOS = 0
WORDS = (5, 6, 7)
IMAGE, LATER = ImageKey("a", 20), ImageKey("b", 10)


def prefill(row: int, elements: Sequence[object], skip: int = 0) -> Prefill:
    return Prefill(row, 0, tuple(elements), skip, [])  # type: ignore[arg-type]


HIT, LONGER_HIT = prefill(1, (BOS, IMAGE, *WORDS), 2), prefill(2, (BOS, IMAGE, *WORDS, *WORDS), 3)
ONE_WORD, TEXT = prefill(3, (BOS, IMAGE, 8), 2), prefill(4, (BOS, *WORDS))
MISS, TWO_IMAGES = prefill(5, (BOS, IMAGE, *WORDS)), prefill(6, (BOS, IMAGE, 5, LATER, *WORDS))
LONG = prefill(7, (BOS, *WORDS * 30))


def table() -> NDArray[np.int64]:
    """Of every row, pages in no order."""
    return np.random.default_rng(0).permutation(PAGES)[: 8 * 120].reshape(8, 120).astype(np.int64)


def seen(one: Prompt, query: int) -> NDArray[np.bool_]:
    """What the query at that position may attend to."""
    if one.mask is not None:
        return one.mask[query - one.first]
    return np.arange(one.length) < (one.block if query < one.block else query + 1)


def expected(q: np.ndarray, k: np.ndarray, v: np.ndarray, read: Sequence[Prompt]) -> np.ndarray:
    """Query by query, head by head."""
    out = np.empty_like(q)
    for one in read:
        for query in range(one.first, one.length):
            pages, row = one.pages[seen(one, query)], one.begin + query - one.first
            for head in range(HEADS):
                group = head * GROUPS // HEADS
                scores = k[pages, group] @ q[row, head] / np.sqrt(DIM)
                weights = np.exp(scores - scores.max())
                out[row, head] = weights / weights.sum() @ v[pages, group]
    return out


def attended(device: Device, read: Sequence[Prompt]) -> tuple[int, float]:
    """How many portions there were, and the largest error."""
    rng = np.random.default_rng(1)
    q = rng.standard_normal((read[-1].end, HEADS, DIM)).astype(np.float32)
    k, v = rng.standard_normal((2, PAGES, GROUPS, DIM)).astype(np.float32)
    with device.inference():
        arrays = [device.array(each) for each in (q, k, v)]
        each = [device.numpy(portion.attend(*arrays)) for portion in portions(device, read)]
    return len(each), float(np.abs(np.concatenate(each) - expected(q, k, v, read)).max())


@pytest.mark.parametrize(("asked", "count"), [
    ([HIT], 1),
    ([HIT, LONGER_HIT, ONE_WORD, TEXT], 1),
    ([HIT, MISS, ONE_WORD, TEXT], 3),
    ([TWO_IMAGES, HIT], 2),
    ([HIT, LONG, TEXT], 3),
])  # fmt: skip
def test_everybody_sees_what_is_theirs(device: Device, asked: list[Prefill], count: int) -> None:
    found, error = attended(device, list(placed(asked, table(), BOS)))
    assert found == count
    assert error < 1e-5


def test_so_many_attend_together_as_may_be_gathered(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERED", 60)
    found, error = attended(device, list(placed([HIT, LONGER_HIT, ONE_WORD, TEXT], table(), BOS)))
    assert found == 2
    assert error < 1e-5
    monkeypatch.setattr(module, "GATHERED", 40)  # not room for two: each by itself
    found, error = attended(device, list(placed([HIT, LONGER_HIT], table(), BOS)))
    assert found == 2
    assert error < 1e-5
