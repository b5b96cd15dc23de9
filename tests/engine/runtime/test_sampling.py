"""Masks, nucleus filtering against recorded distributions, and draws that depend on seed and index only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from dreamscope.engine.runtime.sampling import Sampler, distribution, draw, masked, uniform
from dreamscope.engine.skills.base import Sampling, Step

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "moondream2"
ANY = Step("text")


@pytest.mark.parametrize("name", ["grid27", "grid8_gqa"])
def test_recorded_distributions(name: str) -> None:
    rows = json.loads((GOLDEN / name / "golden.json").read_text(encoding="utf-8"))["units"]["top_p"]
    with safe_open(GOLDEN / name / "tensors.safetensors", framework="np") as file:
        logits, probabilities = (file.get_tensor(f"unit.top_p.{part}") for part in ("logits", "probs"))
    assert len(rows) == 6
    for row in rows:
        expected = probabilities[row["row"]]
        found = distribution(logits[row["row"]], row["temperature"], row["top_p"])
        np.testing.assert_array_equal(found > 0, expected > 0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.integers(0, 10_000), st.floats(0.1, 2), st.floats(0, 1))
def test_distribution_follows_the_plain_rule(seed: int, temperature: float, top_p: float) -> None:
    """The rule in float64 with a full sort; an id within rounding of the cut may fall on either side."""
    logits = np.random.default_rng(seed).normal(0, 3, 300).astype(np.float32)
    p = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    before = np.empty_like(p)
    before[order] = np.cumsum(p[order]) - p[order]

    found = distribution(logits, temperature, top_p)

    assert found.dtype == np.float32
    kept = found > 0
    assert kept[before < top_p - 1e-5].all()
    assert not kept[before > top_p + 1e-5].any()
    np.testing.assert_allclose(found[kept], p[kept] / p[kept].sum(), rtol=1e-4, atol=1e-7)


def test_masks() -> None:
    logits = np.arange(5, dtype=np.float32)
    kept = masked(logits, Step("text", suppressed=frozenset({4, 2})))
    assert kept.tolist() == [0, 1, -np.inf, 3, -np.inf]
    only = masked(logits, Step("text", suppressed=frozenset({3}), allowed=frozenset({1, 3})))
    assert only.tolist() == [-np.inf, 1, -np.inf, -np.inf, -np.inf]
    assert logits.tolist() == [0, 1, 2, 3, 4]


def test_a_mask_forbids_what_lies_beyond_it() -> None:
    logits = np.arange(5, dtype=np.float32)
    mask = np.array([True, False, True])
    assert masked(logits, Step("text", mask=mask)).tolist() == [0, -np.inf, 2, -np.inf, -np.inf]
    both = masked(logits, Step("text", suppressed=frozenset({2}), mask=mask))
    assert both.tolist() == [0, -np.inf, -np.inf, -np.inf, -np.inf]
    assert logits.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_masked_ids_are_never_picked(temperature: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature, top_p=1.0, seed=3))
    logits = np.zeros(4, np.float32)
    logits[1] = 20
    step = Step("text", suppressed=frozenset({1}))
    assert 1 not in {sampler.pick(logits, step) for _ in range(200)}


def test_greedy_takes_the_lowest_of_equals() -> None:
    sampler = Sampler(Sampling(temperature=0.0))
    assert sampler.pick(np.array([0, 7, 7, 1], np.float32), ANY) == 1
    assert Sampler(Sampling(temperature=1e-30)).pick(np.array([0, 7, 7, 1], np.float32), ANY) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_impossible_logits_are_an_error(temperature: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature))
    with pytest.raises(FloatingPointError, match="nan"):
        sampler.pick(np.array([0, np.nan, 1], np.float32), ANY)
    with pytest.raises(FloatingPointError, match="-inf"):
        sampler.pick(np.zeros(2, np.float32), Step("text", suppressed=frozenset({0, 1})))


def picks(seed: int | None, count: int = 40, **sampling: Any) -> list[int]:
    sampler = Sampler(Sampling(**{"temperature": 1.0, "top_p": 1.0, "seed": seed, **sampling}))
    return [sampler.pick(np.zeros(1000, np.float32), ANY) for _ in range(count)]


def test_a_seed_decides_every_draw() -> None:
    np.random.seed(1)
    first = picks(5)
    np.random.seed(2)
    assert picks(5) == first
    assert picks(6) != first
    assert picks(None) != picks(None)
    assert len(set(first)) > 20


def test_a_draw_depends_on_its_index_not_on_the_draws_before() -> None:
    greedy_first = Sampler(Sampling(temperature=1.0, top_p=1.0, seed=5))
    certain = np.full(1000, -1e9, np.float32)
    certain[3] = 0
    assert greedy_first.pick(certain, ANY) == 3
    assert greedy_first.pick(np.zeros(1000, np.float32), ANY) == picks(5)[1]


def test_uniform_numbers() -> None:
    numbers = np.array([uniform(9, index) for index in range(2000)])
    assert 0 <= numbers.min() < 0.01
    assert 0.99 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.03
    assert uniform(2**63 - 1, 0) != uniform(0, 0)


def test_draw_covers_the_distribution() -> None:
    p = np.array([0, 0.25, 0, 0.75, 0], np.float32)
    assert [draw(p, u) for u in (0.0, 0.2499, 0.25, 0.9999999999999999)] == [1, 1, 3, 3]
