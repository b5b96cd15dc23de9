from __future__ import annotations

import pytest
import torch

from dreamscope.engine.sprite.network import Weights
from dreamscope.engine.sprite.optimizer import Optimizer, clip, orthogonalise, trainable

QKV = "text.blocks.0.attn.qkv.weight"
FC1 = "text.blocks.0.mlp.fc1.weight"


def _random(shapes: dict[str, tuple[int, ...]], seed: int) -> Weights:
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (24, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    """Of the input's directions: those with a singular value above a hundredth of the norm."""
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices)
    assert result.shape == matrices.shape
    assert result.dtype == torch.float32
    for before, after in zip(matrices, result, strict=True):
        u, values, v = torch.linalg.svd(before, full_matrices=False)
        turned = u.T @ after @ v.T
        along = turned.diagonal()[values > 0.01 * values.norm()]
        assert along.min() > 0.6
        assert along.max() < 1.3
        assert (turned - turned.diagonal().diag()).abs().max() < 0.1


def test_orthogonalising_ignores_the_scale_and_the_neighbours() -> None:
    one, other = torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(1))
    together = orthogonalise(torch.stack([one, 1024 * other]))
    torch.testing.assert_close(together[0], orthogonalise(one[None])[0], atol=0.02, rtol=0)
    torch.testing.assert_close(together[1], orthogonalise(other[None])[0], atol=0.02, rtol=0)


def test_other_weights_follow_adamw() -> None:
    """Matrices decay, vectors do not; everything else is torch's AdamW."""
    shapes: dict[str, tuple[int, ...]] = {"text.wte": (6, 4), "text.blocks.0.ln.bias": (4,)}
    mine, theirs = _random(shapes, 0), _random(shapes, 0)
    parameters = {name: torch.nn.Parameter(w) for name, w in theirs.items()}
    reference = torch.optim.AdamW(
        [
            {"params": [parameters["text.wte"]], "weight_decay": 0.02},
            {"params": [parameters["text.blocks.0.ln.bias"]], "weight_decay": 0.0},
        ],
        lr=3e-3,
        betas=(0.9, 0.97),
    )
    optimizer = Optimizer(mine, muon_rate=0.02, adam_rate=3e-3)
    for step in range(4):
        gradients = _random(shapes, 10 + step)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].clone()
        reference.step()
        optimizer.step(gradients, 1.0)
        for name, parameter in parameters.items():
            torch.testing.assert_close(mine[name], parameter.detach(), atol=1e-6, rtol=1e-5)


def test_block_matrices_follow_muon() -> None:
    """The first step: Nesterov momentum of one gradient, orthogonalised, scaled for tall matrices, decay."""
    shapes: dict[str, tuple[int, ...]] = {FC1: (32, 8), "text.wte": (4, 4)}
    weights, gradients = _random(shapes, 0), _random(shapes, 1)
    before = weights[FC1].clone()
    update = orthogonalise(gradients[FC1][None])[0] * 2.0  # √(32 / 8)
    Optimizer(weights, muon_rate=0.1, adam_rate=1e-3).step(gradients, 0.5)
    torch.testing.assert_close(weights[FC1], before * (1 - 0.05 * 0.05) - 0.05 * update, atol=5e-3, rtol=0)


def test_queries_keys_and_values_are_orthogonalised_apart() -> None:
    shapes: dict[str, tuple[int, ...]] = {QKV: (24, 8), "text.wte": (4, 4)}
    weights, gradients = _random(shapes, 0), _random(shapes, 1)
    gradients[QKV][:8] *= 100  # loud queries must not drown keys and values
    before = weights[QKV].clone()
    Optimizer(weights, muon_rate=0.1, adam_rate=1e-3).step(gradients, 1.0)
    moved = (weights[QKV] - before * (1 - 0.05 * 0.1)).view(3, 8, 8) / 0.1
    norms = moved.flatten(1).norm(dim=1)
    assert norms.min() > 0.6 * norms.max()


def test_experts_and_their_halves_are_orthogonalised_apart() -> None:
    name = "text.blocks.2.mlp.fc1.weight"
    shapes: dict[str, tuple[int, ...]] = {name: (3, 16, 8), "text.wte": (4, 4)}
    weights, gradients = _random(shapes, 0), _random(shapes, 1)
    gradients[name][1] *= 100  # one loud expert
    gradients[name][:, 8:] *= 0.01  # the linear half is quiet
    before = weights[name].clone()
    Optimizer(weights, muon_rate=0.1, adam_rate=1e-3).step(gradients, 1.0)
    moved = (weights[name] - before * (1 - 0.05 * 0.1)).view(6, 8, 8) / 0.1
    norms = moved.flatten(1).norm(dim=1)
    assert norms.min() > 0.6 * norms.max()


def test_routers_and_tau_follow_adamw() -> None:
    """Their rows are features to be told apart, not a map between spaces."""
    names = ("text.blocks.2.mlp.router.weight", "text.blocks.2.attn.tau.wq")
    shapes: dict[str, tuple[int, ...]] = {name: (4, 8) for name in names}
    weights, gradients = _random(shapes, 0), _random(shapes, 1)
    before = {name: w.clone() for name, w in weights.items()}
    Optimizer(weights, muon_rate=0.5, adam_rate=1e-3).step(gradients, 1.0)
    for name in names:
        step = weights[name] - before[name] * (1 - 0.02 * 1e-3)
        torch.testing.assert_close(step, -1e-3 * gradients[name].sign(), atol=1e-5, rtol=0)


def test_fixed_features_are_not_learned() -> None:
    weights = _random({"region.coord_features": (1, 4), "text.wte": (3, 4)}, 0)
    assert trainable(weights) == ["text.wte"]
    before = weights["region.coord_features"].clone()
    Optimizer(weights, 0.02, 2e-3).step(_random({"text.wte": (3, 4)}, 1), 1.0)
    assert torch.equal(weights["region.coord_features"], before)


def test_the_factor_scales_both_rates() -> None:
    shapes: dict[str, tuple[int, ...]] = {FC1: (8, 8), "text.wte": (4, 4)}
    start, moved = _random(shapes, 0), {}
    for factor in (0.0, 0.5, 1.0):
        weights = _random(shapes, 0)
        Optimizer(weights, 0.02, 2e-3).step(_random(shapes, 1), factor)
        moved[factor] = {name: weights[name] - start[name] for name in shapes}
    for name in shapes:
        assert not moved[0.0][name].any()
        torch.testing.assert_close(2 * moved[0.5][name], moved[1.0][name], atol=1e-6, rtol=1e-3)


def test_equal_steps_give_equal_weights() -> None:
    shapes: dict[str, tuple[int, ...]] = {QKV: (24, 8), FC1: (32, 8), "text.wte": (4, 4)}
    runs = []
    for _ in range(2):
        weights = _random(shapes, 0)
        optimizer = Optimizer(weights, 0.02, 2e-3)
        for step in range(3):
            optimizer.step(_random(shapes, step), 1.0)
        runs.append(weights)
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in shapes)


def test_clipping() -> None:
    gradients = {"a": torch.full((4,), 3.0), "b": torch.full((2, 2), 4.0)}
    assert clip(gradients, 20.0) == pytest.approx(10.0)
    assert gradients["a"].tolist() == [3.0] * 4
    assert clip(gradients, 2.0) == pytest.approx(10.0)
    assert torch.cat([g.flatten() for g in gradients.values()]).norm() == pytest.approx(2.0, rel=1e-4)
    assert gradients["b"][0, 0] / gradients["a"][0] == pytest.approx(4 / 3)
