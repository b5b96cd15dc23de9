"""The operations of batches against numpy and the plain sampler, on every device."""

from __future__ import annotations

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.runtime.sampling import distribution
from dreamscope.engine.runtime.sampling import draw as plain_draw


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_a_mirror_brings_what_was_written(device: Device) -> None:
    mirror = device.mirror(np.zeros((2, 3), np.int64))
    mirror.host[1] = (7, 8, -1)
    mirror.upload()
    np.testing.assert_array_equal(device.numpy(mirror.array), [[0, 0, 0], [7, 8, -1]])
    assert device.numpy(device.mirror(np.array([True, False])).array).tolist() == [1, 0]
    number = np.array(1 / 3, np.float32)
    assert device.numpy(device.mirror(number).array) == number


def test_rows_are_stored_where_they_belong(device: Device) -> None:
    buffer, rows = normal(5, 2, 3), normal(2, 2, 3)
    stored = device.store(device.array(buffer), device.array(np.array([4, 1])), device.array(rows))
    buffer[[4, 1]] = rows
    np.testing.assert_array_equal(device.numpy(stored), buffer)


def test_selections(device: Device) -> None:
    x, indices = normal(3, 5), np.array([[4, 0], [1, 1], [2, 3]])
    found = device.take_along(device.array(x), device.array(indices))
    np.testing.assert_array_equal(device.numpy(found), np.take_along_axis(x, indices, 1))
    chosen = device.where(device.array(x > 0), device.array(x), -np.inf)
    np.testing.assert_array_equal(device.numpy(chosen), np.where(x > 0, x, -np.inf))


def test_the_first_of_equals_is_the_largest_and_no_number_is_larger(device: Device) -> None:
    x = np.array([[1, 3, 3], [2, 9, np.nan], [-np.inf, -np.inf, -np.inf]], np.float32)
    assert device.numpy(device.argmax(device.array(x))).tolist() == [1, 2, 0]


def test_softmax_is_float32(device: Device) -> None:
    x = normal(2, 7)
    weights = np.exp(x - x.max(1, keepdims=True))
    found = device.numpy(device.softmax(device.array(x)))
    np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("room", [None, 400, 10])
@pytest.mark.parametrize("heads", [2, 4])
def test_a_query_sees_its_own_pages(device: Device, room: int | None, heads: int) -> None:
    """However many rows fit into the memory for what is gathered."""
    if isinstance(device, CpuDevice) and room is not None:
        device = CpuDevice("float32", room=room)
    rng = np.random.default_rng(1)
    k, v, q = normal(40, 2, 8), normal(40, 2, 8) * 2, normal(3, heads, 8)
    table = rng.permutation(39)[:36].reshape(3, 12)
    lengths = np.array([12, 1, 7])
    found = device.numpy(
        device.paged_attention(
            *(device.array(each) for each in (q, k, v)), device.array(table), device.array(lengths)
        )
    )
    for row, length in enumerate(lengths):
        for head in range(heads):
            pages, group = table[row, :length], head // (heads // 2)
            scores = k[pages, group] @ q[row, head] / np.sqrt(8)
            weights = np.exp(scores - scores.max())
            np.testing.assert_allclose(found[row, head], weights @ v[pages, group] / weights.sum(), atol=1e-5)


@pytest.mark.parametrize("levels", [None, 6], ids=["all different", "many equal"])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 8.0])
@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.9, 1.0])
def test_ids_are_drawn_as_the_plain_sampler_draws(
    device: Device, temperature: float, top_p: float, levels: int | None
) -> None:
    rng = np.random.default_rng(int(temperature * 10) + int(top_p * 100))
    logits = rng.standard_normal((60, 300)).astype(np.float32) * 3
    if levels is not None:
        logits = np.round(logits * levels / 9).astype(np.float32)
    logits[:, ::7] = -np.inf
    uniforms = rng.random(60).astype(np.float32)
    uniforms[:2] = 0, np.nextafter(np.float32(1), np.float32(0))
    settings = (np.full(60, each, np.float32) for each in (temperature, top_p))
    exact = [device.array(each, exact=True) for each in (logits, *settings, uniforms)]
    found = device.numpy(device.draw(*exact)).astype(int)
    wanted = [
        plain_draw(distribution(row, temperature, top_p), float(number))
        for row, number in zip(logits, uniforms, strict=True)
    ]
    assert found.tolist()[2:] == wanted[2:]
    at_the_ends = [distribution(logits[i], temperature, top_p)[found[i]] for i in range(2)]
    assert min(at_the_ends) > 0


@pytest.mark.parametrize("rows", [1, 11, 12, 40])
def test_a_linear_is_the_same_for_few_and_many_rows(device: Device, rows: int) -> None:
    x, weight, bias = normal(rows, 2, 24), normal(16, 24), normal(16)
    found = device.numpy(device.linear(*(device.array(each) for each in (x, weight, bias))))
    np.testing.assert_allclose(found, x @ weight.T + bias, atol=1e-4)
