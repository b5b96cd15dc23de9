"""How many sequences fit, from sizes and memory alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamscope.engine.models.limits import MAX_PAGES, default_limits, page_bytes
from dreamscope.engine.models.moondream2.config import Moondream2Config

MOONDREAM_2 = Moondream2Config()


def test_a_page_is_a_position_of_all_layers() -> None:
    assert page_bytes(MOONDREAM_2, "bfloat16") == 192 * 1024
    assert page_bytes(MOONDREAM_2, "float32") == 384 * 1024


@pytest.mark.parametrize(
    ("free", "asked", "pages"),
    [
        (None, None, MAX_PAGES),
        (1 << 40, None, MAX_PAGES),
        (8 << 30, None, (4 << 30) // (384 << 10)),
        (100 << 20, None, 2048),
        (1 << 40, 5000, 5000),
        (1 << 40, 5, 2048),
    ],
)
def test_pages_take_half_of_the_memory_but_hold_one_context(
    free: int | None, asked: int | None, pages: int
) -> None:
    limits = default_limits(MOONDREAM_2, "float32", free, kv_pages=asked)
    assert limits.n_pages == pages + 1
    assert (limits.max_seq, limits.vocab) == (2048, 51200)


def test_rows_are_the_batch_and_two_more() -> None:
    """Row 0, and one for a prompt that is read while the batch is full."""
    assert default_limits(MOONDREAM_2, "float32", None, max_batch=5).rows == 7


def test_a_small_model_has_no_more_pages_than_its_rows_can_fill() -> None:
    small = replace(MOONDREAM_2, text=replace(MOONDREAM_2.text, max_context=64))
    assert default_limits(small, "float32", None, max_batch=2).n_pages == 4 * 64 + 1
