from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamscope.engine.sprite.experts import mix_experts


def _parts(rows: int, experts: int, width: int = 6, inner: int = 5) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(7)
    router = (experts, width), (experts,)
    shapes = ((rows, width), *router, (experts, 2 * inner, width), (experts, width, inner))
    return tuple(torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes)


def _row_by_row(x: Tensor, w: Tensor, b: Tensor, fc1: Tensor, fc2: Tensor, active: int) -> Tensor:
    rows = []
    for row in x:
        scores = w @ row + b
        chosen = scores.detach().sort(descending=True).indices[:active].tolist()
        shares = torch.stack([scores[expert] for expert in chosen]).softmax(0)
        total = torch.zeros_like(row)
        for share, expert in zip(shares, chosen, strict=True):
            h, g = (fc1[expert] @ row).chunk(2)
            total = total + share * (fc2[expert] @ (F.gelu(h) * (g + 1)))
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize(("rows", "experts", "active"), [(9, 4, 2), (3, 8, 3), (1, 5, 1), (20, 2, 2)])
def test_values_and_gradients_are_those_of_single_rows(rows: int, experts: int, active: int) -> None:
    x, w, b, fc1, fc2 = _parts(rows, experts)
    mine, _ = mix_experts(x, (w, b), fc1, fc2, active)
    plain = _row_by_row(x, w, b, fc1, fc2, active)
    torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-6)  # the shares are taken in float32
    weight = torch.linspace(-1, 1, plain.numel(), dtype=torch.float64).view_as(plain)
    found = torch.autograd.grad((mine * weight).sum(), (x, w, b, fc1, fc2))
    wanted = torch.autograd.grad((plain * weight).sum(), (x, w, b, fc1, fc2))
    for a, c in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-5, atol=1e-5)


def test_balance_tells_even_use_from_a_favourite() -> None:
    x = torch.eye(4)
    fc1, fc2 = torch.zeros(4, 2, 4), torch.zeros(4, 4, 1)
    _, even = mix_experts(x, (8 * torch.eye(4), torch.zeros(4)), fc1, fc2, 1)
    assert float(even.least) == 1.0
    assert float(even.balance) == pytest.approx(1.0)
    _, favourite = mix_experts(x, (torch.zeros(4, 4), torch.tensor([20.0, 0, 0, 0])), fc1, fc2, 1)
    assert float(favourite.least) == 0.0
    assert float(favourite.balance) == pytest.approx(4.0)


def test_balance_pulls_towards_the_experts_that_are_not_used() -> None:
    bias = torch.tensor([2.0, 0.0, 0.0], requires_grad=True)
    _, routing = mix_experts(
        torch.ones(5, 2), (torch.zeros(3, 2), bias), torch.zeros(3, 2, 2), torch.zeros(3, 2, 1), 1
    )
    (pull,) = torch.autograd.grad(routing.balance, bias)
    assert pull[0] > 0 > pull[1]
