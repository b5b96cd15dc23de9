"""Every operation against numpy, in every dtype; and what opening a device can run into."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dreamscope.engine.devices import host_memory
from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import DeviceUnavailable

TOLERANCE = {"float32": 1e-6, "bfloat16": 3e-2, "float16": 4e-3}


@pytest.fixture(params=sorted(TOLERANCE))
def device(request: pytest.FixtureRequest, device_name: str) -> Device:
    return open_device(device_name, request.param)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def _check(device: Device, actual: object, expected: np.ndarray) -> None:
    values = device.numpy(actual)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, atol=TOLERANCE[device.dtype] * 4)


def test_values_come_back(device: Device) -> None:
    _check(device, device.array(_random(3, 4)), _random(3, 4))
    third = np.array([1 / 3], np.float32)
    assert device.numpy(device.array(third, exact=True)) == third
    assert (device.numpy(device.array(third)) == third).all() == (device.dtype == "float32")
    _check(device, device.zeros((2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_weights_of_every_stored_form(device: Device, stored: str) -> None:
    values = np.array([1.0, -2.5, 0.15625, 96.0], np.float32)  # exact in all of them
    raw = {
        "F32": values,
        "F16": values.astype(np.float16),
        "BF16": (values.view(np.uint32) >> 16).astype(np.uint16),
    }[stored]
    raw.flags.writeable = False
    weight = device.weight(raw, stored)  # type: ignore[arg-type]
    np.testing.assert_array_equal(device.numpy(weight), values)
    np.testing.assert_array_equal(device.numpy(weight + weight), 2 * values)


def test_host_values_are_copied(device: Device) -> None:
    raw = np.ones(3, np.float32)
    weight, array = device.weight(raw, "F32"), device.array(raw)
    raw[:] = 5
    np.testing.assert_array_equal(device.numpy(weight), np.ones(3))
    np.testing.assert_array_equal(device.numpy(array), np.ones(3))


def test_rearranging(device: Device) -> None:
    x = _random(2, 3, 4)
    array = device.array(x)
    _check(device, device.reshape(array, (6, -1)), x.reshape(6, 4))
    _check(device, device.permute(array, (2, 0, 1)), x.transpose(2, 0, 1))
    for part, expected in zip(device.split(array, (1, 2), 1), (x[:, :1], x[:, 1:]), strict=True):
        _check(device, part, expected)
    _check(device, device.concat((array, array), 2), np.concatenate((x, x), 2))
    picks = [2, 0, 2, 1]
    for axis in (0, 1, 2):
        chosen = [index % x.shape[axis] for index in picks]
        _check(device, device.take(array, device.array(np.array(chosen)), axis), x.take(chosen, axis))


def test_write_fills_only_its_slots(device: Device) -> None:
    rows = _random(1, 2, 3, 4)
    expected = np.zeros((1, 2, 8, 4), np.float32)
    expected[:, :, 2:5] = rows
    _check(device, device.write(device.zeros((1, 2, 8, 4)), device.array(rows), 2), expected)


def test_the_inference_scope_changes_nothing_but_speed(device: Device) -> None:
    rows = _random(1, 2, 3, 4)
    outside = device.zeros((1, 2, 5, 4))
    with device.inference():
        inside = device.zeros((1, 2, 5, 4))
        written = [device.write(buffer, device.array(rows), 1) for buffer in (outside, inside)]
        doubled = device.gelu(written[1])
    _check(device, written[0][:, :, 1:4], rows)
    np.testing.assert_array_equal(device.numpy(written[1]), device.numpy(written[0]))
    np.testing.assert_array_equal(device.numpy(doubled), device.numpy(device.gelu(written[0])))
    _check(device, device.write(outside, device.array(rows), 0)[:, :, :3], rows)  # made outside: still ours


def test_arithmetic(device: Device) -> None:
    x, weight, bias = _random(5, 8), _random(3, 8), _random(3)
    array = device.array(x)
    _check(device, device.linear(array, device.array(weight), device.array(bias)), x @ weight.T + bias)
    _check(device, device.matmul(array, device.array(weight.T.copy())), x @ weight.T)
    gelu = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    _check(device, device.gelu(array), gelu)
    _check(device, device.cos(array), np.cos(x))
    _check(device, device.sin(array), np.sin(x))
    _check(device, array + array * 3, 4 * x)


def test_layer_norm_has_the_published_epsilon(device: Device) -> None:
    x, scale, shift = _random(4, 8) * 0.01, _random(8), _random(8)  # small, so that eps shows
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + shift
    actual = device.layer_norm(device.array(x), device.array(scale), device.array(shift))
    np.testing.assert_allclose(device.numpy(actual), expected, atol=TOLERANCE[device.dtype] * 8)


def test_widen_and_narrow(device: Device) -> None:
    x = np.array([1 / 3], np.float32)
    rounded = device.numpy(device.array(x))
    np.testing.assert_array_equal(device.numpy(device.narrow(device.array(x, exact=True))), rounded)
    tiny = device.widen(device.array(np.ones(1, np.float32))) + device.array(np.array([2**-20]), exact=True)
    assert device.numpy(tiny)[0] == 1 + 2**-20


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(device: Device, key_heads: int, masked: bool) -> None:
    q, k, v = _random(2, 4, 3, 8), _random(2, key_heads, 5, 8), _random(2, key_heads, 5, 8)
    mask = np.arange(5) <= np.arange(2, 5)[:, None] if masked else None
    group = 4 // key_heads
    scores = np.einsum("bhte,bhse->bhts", q, np.repeat(k, group, 1)) / math.sqrt(8)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhts,bhse->bhte", weights, np.repeat(v, group, 1))
    arrays = (device.array(x) for x in (q, k, v))
    actual = device.attention(*arrays, None if mask is None else device.array(mask))
    _check(device, actual, expected)


def test_slices(device: Device) -> None:
    x = _random(2, 3, 4)
    array = device.array(x)
    assert tuple(array.shape) == (2, 3, 4)
    _check(device, array[-1], x[-1])
    _check(device, array[0, :, 1:3], x[0, :, 1:3])


def test_written_slices_see_what_was_there_before(device: Device) -> None:
    """The device may compute later, but not something else."""
    rows = device.array(_random(1, 2, 3, 4))
    buffer = device.write(device.zeros((1, 2, 5, 4)), rows, 0)
    doubled = buffer[:, :, :3] * 2
    buffer = device.write(buffer, rows * 5, 1)
    _check(device, doubled, 2 * _random(1, 2, 3, 4))
    _check(device, buffer[:, :, :1], _random(1, 2, 3, 4)[:, :, :1])
    _check(device, buffer[:, :, 1:4], 5 * _random(1, 2, 3, 4))


def test_opening(device_name: str) -> None:
    assert open_device("cpu").dtype == "float32"
    assert open_device(device_name, "bfloat16").name.startswith(device_name)
    device = open_device(device_name)
    device.synchronize()
    device.synchronize(device.zeros((1,)), device.zeros((2,)))


def test_bad_names_list_what_is_allowed() -> None:
    with pytest.raises(DeviceUnavailable, match="'gpu'; one of auto, cpu, cuda, mlx"):
        open_device("gpu")
    with pytest.raises(DeviceUnavailable, match="'int8'; one of auto, float32, bfloat16, float16"):
        open_device("cpu", "int8")
    with pytest.raises(DeviceUnavailable, match="at least 1, not 0"):
        open_device("cpu", threads=0)


def test_no_card_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceUnavailable, match=r"No usable CUDA card.*--device cpu"):
        open_device("cuda")
    assert open_device("auto").name == "cpu"


def test_free_memory_is_known_here(device_name: str) -> None:
    free = open_device(device_name).free_memory()
    assert free is not None
    assert free > 1 << 20


def _container(root: Path, limit: str, used: int, cached: int) -> Path:
    (root / "memory.max").write_text(limit, encoding="ascii")
    (root / "memory.current").write_text(str(used), encoding="ascii")
    (root / "memory.stat").write_text(f"anon 5\nactive_file {cached}\ninactive_file 0\n", encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("limit", "used", "cached", "free"),
    [("1000", 700, 200, 500), ("max", 700, 200, None), ("1000", 1200, 0, 0)],
)
def test_a_container_limit_counts(
    tmp_path: Path, limit: str, used: int, cached: int, free: int | None
) -> None:
    assert host_memory._container_free(_container(tmp_path, limit, used, cached)) == free


def test_no_container(tmp_path: Path) -> None:
    assert host_memory._container_free(tmp_path) is None
