"""Probabilities and intervals against a plain count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.results import Spread
from dreamscope.engine.runtime.spread import coord_spread, probability_of, size_spread, softmax, spread_of

LOGITS = arrays(np.float32, st.integers(1, 60), elements=st.floats(-40, 40, width=32))
SHARES = (0.16, 0.84, 0.025, 0.975)


def plain_softmax(logits: np.ndarray) -> list[float]:
    weights = [math.exp(float(logit) - float(max(logits))) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def log_of(*probabilities: float) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)


@given(logits=LOGITS, data=st.data())
def test_any_distribution(logits: np.ndarray, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(logits) - 1))
    probabilities = plain_softmax(logits)
    assert softmax(logits) == pytest.approx(probabilities, rel=1e-12)
    assert probability_of(logits, chosen) == pytest.approx(probabilities[chosen], rel=1e-12)
    spread = spread_of(logits, chosen, lambda bins: bins.astype(np.float32))
    assert spread.p == pytest.approx(probabilities[chosen], rel=1e-12)
    for share, bound in zip(SHARES, (*spread.i68, *spread.i95), strict=True):
        at = int(bound)
        assert math.fsum(probabilities[: at + 1]) >= share - 1e-12
        assert math.fsum(probabilities[:at]) < share + 1e-12


def test_intervals_run_between_bins() -> None:
    logits = log_of(0.02, 0.01, 0.1, 0.05, 0.6, 0.1, 0.1, 0.01, 0.01)
    spread = coord_spread(logits, 4, 8)
    assert (spread.i68, spread.i95) == ((3 / 8, 5 / 8), (1 / 8, 6 / 8))
    assert spread.p == pytest.approx(0.6)


def test_of_several_peaks_the_highest_may_lie_outside_of_the_interval() -> None:
    spread = coord_spread(log_of(0.15, 0, 0, 0, 0.14, 0.14, 0.14, 0.14, 0.14, 0.15), 0, 16)
    assert (spread.i68, spread.i95) == ((4 / 16, 8 / 16), (0.0, 9 / 16))
    assert spread.p == pytest.approx(0.15)


@pytest.mark.parametrize("index", [0, 3, 512, 1023])
def test_a_certain_number_is_its_own_interval(index: int) -> None:
    logits = np.full(1024, -1e4, np.float32)
    logits[index] = 1e4
    for steps in (1023, 1024):
        value = Coord.from_bin(index, steps).value
        assert coord_spread(logits, index, steps) == Spread(1.0, (value, value), (value, value))
    size = Size.from_bins(index, index).w
    assert size_spread(logits, index) == Spread(1.0, (size, size), (size, size))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_distribution_is_an_error(wrong: float) -> None:
    with pytest.raises(FloatingPointError, match=str(wrong)):
        coord_spread(np.array([0.0, wrong, 1.0], np.float32), 0, 3)
