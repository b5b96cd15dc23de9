from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from dreamscope.engine.sprite.batch import Batch, Batcher
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.losses import Terms, initial_heads, score, soft_bins
from dreamscope.engine.sprite.network import Network, Weights
from dreamscope.engine.sprite.optimizer import trainable
from dreamscope.engine.sprite.recipe import Recipe
from dreamscope.engine.sprite.vocabulary import COORD, SIZE, PairEncoder


@pytest.fixture(scope="module")
def words(recipe: Recipe, encoder: PairEncoder) -> torch.Tensor:
    return torch.tensor([encoder.text(f" {name}")[0] for name in recipe.classes])


@pytest.fixture
def weights(recipe: Recipe) -> Weights:
    sizes = recipe.sizes
    return initial_weights(sizes, 0) | initial_heads(sizes.vision_dim, sizes.dim, len(recipe.classes), 0)


@pytest.fixture(scope="module")
def batch(recipe: Recipe, encoder: PairEncoder) -> Batch:
    """Enough pictures that every kind of loss has something to say."""
    larger = dataclasses.replace(recipe, vision_batch=8, text_batch=8)
    batch = Batcher(larger, encoder, 0).draw(0, 50_000)
    assert {COORD, SIZE} <= set(batch.ids.flatten().tolist())
    return batch


def _terms(terms: Terms) -> dict[str, torch.Tensor]:
    return {f.name: getattr(terms, f.name) for f in dataclasses.fields(terms)}


@pytest.mark.parametrize("target", [0, 3, 500, 1023])
def test_the_soft_target_peaks_at_the_true_bin(target: int) -> None:
    """The loss is smallest for the target itself: its gradient vanishes there, and any shift costs."""
    distance = (torch.arange(1024) - target) / 4.0
    logits = (-0.5 * distance**2)[None].requires_grad_()
    best = soft_bins(logits, torch.tensor([target]), 4.0)
    best.backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6
    for shift in (-8, -1, 1, 8):
        assert soft_bins(logits.detach().roll(shift, 1), torch.tensor([target]), 4.0) > best


@pytest.mark.parametrize("sigma", [3.0, 14.0])
def test_the_floor_is_the_entropy_of_the_gaussian(sigma: float) -> None:
    logits = -0.5 * ((torch.arange(1024) - 512) / sigma) ** 2
    floor = math.log(sigma * math.sqrt(2 * math.pi * math.e))
    assert soft_bins(logits[None], torch.tensor([512]), sigma) == pytest.approx(floor, abs=1e-4)
    assert soft_bins(torch.zeros(1, 1024), torch.tensor([512]), sigma) == pytest.approx(
        math.log(1024), abs=1e-4
    )


def test_widths_and_heights_are_scored_apart() -> None:
    targets = torch.tensor([[100, 900]])
    logits = -0.5 * ((torch.arange(1024) - targets[..., None]) / 4.0) ** 2
    assert soft_bins(logits, targets, 4.0) < soft_bins(logits.flip(1), targets, 4.0)


def test_nothing_to_locate_costs_nothing() -> None:
    logits = torch.zeros(0, 1024, requires_grad=True)
    loss = soft_bins(logits, torch.zeros(0, dtype=torch.int64), 4.0)
    assert loss == 0
    loss.backward()


def test_every_weight_gets_a_finite_gradient(
    recipe: Recipe, batch: Batch, words: torch.Tensor, weights: Weights
) -> None:
    names = trainable(weights)
    for name in names:
        weights[name].requires_grad_()
    terms = score(Network(recipe.sizes, weights, tanh=True), batch, words, 14.0)
    assert all(term.isfinite() for term in _terms(terms).values())
    terms.total(0.5).backward()
    for name in names:
        gradient = weights[name].grad
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


def test_terms_at_the_start_are_those_of_a_guess(
    recipe: Recipe, batch: Batch, words: torch.Tensor, weights: Weights
) -> None:
    terms = score(Network(recipe.sizes, weights, tanh=True), batch, words, 14.0)
    assert float(terms.language) == pytest.approx(math.log(1024), rel=0.15)
    assert float(terms.coords) == pytest.approx(math.log(1024), rel=0.35)
    assert float(terms.extents) == pytest.approx(math.log(1024), rel=0.35)


def test_the_language_loss_reads_the_next_token(
    recipe: Recipe, batch: Batch, words: torch.Tensor, weights: Weights
) -> None:
    """A head whose bias names one token everywhere: the loss counts where that token comes next."""
    weights["text.lm_head.weight"].zero_()
    weights["text.lm_head.bias"].zero_()
    weights["text.lm_head.bias"][COORD] = 4.0
    found = score(Network(recipe.sizes, weights, tanh=True), batch, words, 14.0).language
    log_sum = math.log(1023 + math.exp(4.0))
    total = cost = 0.0
    for ids, weight in zip(batch.ids.tolist(), batch.weight.tolist(), strict=True):
        for following, w in zip(ids[1:], weight[:-1], strict=True):
            total += w
            cost += w * (log_sum - (4.0 if following == COORD else 0.0))
    assert float(found) == pytest.approx(cost / total, rel=1e-5)


def test_pictures_without_objects(
    recipe: Recipe, batch: Batch, words: torch.Tensor, weights: Weights
) -> None:
    labels = dataclasses.replace(batch.labels, kind=batch.labels.kind * 0, colour=batch.labels.colour * 0 - 1)
    bare = dataclasses.replace(batch, labels=labels)
    terms = score(Network(recipe.sizes, weights, tanh=True), bare, words, 14.0)
    assert all(term.isfinite() for term in _terms(terms).values())
    assert terms.patch_accuracy == 0


def test_the_total_weighs_its_terms() -> None:
    one = torch.tensor(1.0)
    zero = torch.tensor(0.0)
    rest = {"patch_accuracy": one, "least_used": one}
    for name, share in (
        ("language", 1.0), ("coords", 0.6), ("extents", 0.3), ("dense", 0.5), ("balance", 0.01)
    ):  # fmt: skip
        parts = dict.fromkeys(("language", "coords", "extents", "dense", "balance"), zero) | {name: one}
        assert Terms(**parts, **rest).total(0.5) == pytest.approx(share)
