"""Bins and the numbers they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from dreamscope.engine.models.tokens import Coord, Size, size_values


def test_a_coordinate_is_its_bin_over_the_number_of_bins() -> None:
    assert Coord.from_bin(0) == Coord(0.0, 0)
    assert Coord.from_bin(512) == Coord(0.5, 512)
    assert Coord.from_bin(1023).value == 1023 / 1024


def test_sizes_are_logarithmic_and_reach_the_whole_image() -> None:
    assert Size.from_bins(0, 1023) == Size(2**-10, 1.0, (0, 1023))
    values = size_values(np.arange(1024))
    assert values.dtype == np.float32
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("count", [16, 1024])
def test_size_scale_follows_the_number_of_bins(count: int) -> None:
    ends = size_values(np.array([0, count - 1]), count)
    np.testing.assert_array_equal(ends, np.array([2**-10, 1], np.float32))
