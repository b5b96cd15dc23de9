"""The operations of a mixture of experts, on every device, against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device

TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2, "float16": 8e-3}
EXPERTS, OUT, IN = 6, 5, 8


@pytest.fixture(params=sorted(TOLERANCE))
def device(request: pytest.FixtureRequest, device_name: str) -> Device:
    return open_device(device_name, request.param)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def _check(device: Device, actual: object, expected: np.ndarray) -> None:
    values = device.numpy(actual)
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected, atol=TOLERANCE[device.dtype])


def test_exact_gelu_and_tanh(device: Device) -> None:
    x = 3 * _random(4, 7)
    _check(device, device.gelu_exact(device.array(x)), 0.5 * x * (1 + np.vectorize(math.erf)(x / 2**0.5)))
    _check(device, device.tanh(device.array(x)), np.tanh(x))


@pytest.mark.parametrize("k", [1, 3, EXPERTS])
def test_the_best_come_first_and_share_a_softmax(device: Device, k: int) -> None:
    scores = np.stack([np.random.default_rng(row).permutation(EXPERTS) for row in range(9)]) / np.float32(4)
    ids, weights = device.top_weights(device.array(scores), k)
    expected = np.argsort(-scores)[:, :k]
    np.testing.assert_array_equal(device.numpy(ids), expected)
    best = np.exp(np.take_along_axis(scores, expected, -1))
    _check(device, weights, best / best.sum(-1, keepdims=True))
    narrow = device.narrow(device.widen(weights))
    np.testing.assert_array_equal(device.numpy(weights), device.numpy(narrow))  # in the compute dtype


@pytest.mark.parametrize("rows", [1, 2, 60])
@pytest.mark.parametrize("each", [False, True])
def test_rows_go_through_the_experts_they_chose(device: Device, rows: int, each: bool) -> None:
    k = 3
    x, weight = _random(rows, k if each else 1, IN), _random(EXPERTS, OUT, IN)
    scores = _random(rows, EXPERTS - 1)  # the last expert is chosen by nobody
    ids, _ = device.top_weights(device.array(scores), k)
    chosen = device.numpy(ids).astype(int)
    expected = np.einsum("nki,nkoi->nko", np.broadcast_to(x, (rows, k, IN)), weight[chosen])
    actual = device.expert_linear(device.array(x), device.array(weight), ids)
    _check(device, actual, expected)
    again = device.expert_linear(device.array(x), device.array(weight), device.array(chosen))
    np.testing.assert_array_equal(device.numpy(again), device.numpy(actual))
