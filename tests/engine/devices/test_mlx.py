"""What is particular to MLX: laziness, memory that is reused, threads, and being absent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import DeviceUnavailable

CACHE = (1, 4, 1024, 64)
CACHE_BYTES = 4 * 4 * 1024 * 64


@pytest.fixture
def mlx() -> Any:
    return pytest.importorskip("mlx.core")


def _on_another_thread(work: Callable[[], Any]) -> Any:
    """The result of `work`, or what it raised."""
    seen: list[Any] = []

    def run() -> None:
        try:
            seen.append(work())
        except RuntimeError as error:
            seen.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen[0]


def test_float32_products_are_exact(mlx: Any) -> None:
    device = open_device("mlx", "float32")
    assert os.environ["MLX_ENABLE_TF32"] == "0"
    a, b = (np.random.default_rng(seed).standard_normal((64, 64)).astype(np.float32) for seed in (1, 2))
    product = device.numpy(device.matmul(device.array(a), device.array(b)))
    np.testing.assert_allclose(product, a.astype(np.float64) @ b.astype(np.float64), atol=2e-5)


def test_writing_a_row_does_not_copy_the_cache(mlx: Any) -> None:
    device = open_device("mlx", "float32")
    buffer = device.zeros(CACHE)
    device.synchronize(buffer)
    rows = device.array(np.ones((1, 4, 1, 64), np.float32))
    for start in range(4):
        mlx.reset_peak_memory()
        before = mlx.get_active_memory()
        buffer = device.write(buffer, rows, start)
        assert device.numpy(buffer[0, 0, : start + 1, 0]).tolist() == [1] * (start + 1)
        assert mlx.get_peak_memory() - before < CACHE_BYTES / 10


def test_a_kept_reference_to_the_old_contents_costs_a_copy(mlx: Any) -> None:
    """Shows that the measurement above can see a copy."""
    device = open_device("mlx", "float32")
    buffer = device.zeros(CACHE)
    device.synchronize(buffer)
    kept = buffer[:]
    mlx.reset_peak_memory()
    before = mlx.get_active_memory()
    device.synchronize(device.write(buffer, device.array(np.ones((1, 4, 1, 64), np.float32)), 0))
    assert mlx.get_peak_memory() - before >= CACHE_BYTES
    assert device.numpy(kept).sum() == 0


def test_nothing_is_computed_until_it_is_wanted(mlx: Any) -> None:
    device = open_device("mlx", "float32")
    source = device.array(np.ones((256, 256), np.float32))
    before = mlx.get_active_memory()
    product = device.matmul(source, source)
    assert mlx.get_active_memory() == before
    device.synchronize(product)
    assert mlx.get_active_memory() >= before + 4 * 256 * 256


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_loading_and_running_may_be_two_threads(mlx: Any, dtype: str) -> None:
    """Weights and host values travel; work that nobody has asked for yet does not."""
    device = open_device("mlx", dtype)
    ones = np.ones((2, 2), np.float32)
    halves = (ones.view(np.uint32) >> 16).astype(np.uint16)
    made = _on_another_thread(
        lambda: (
            device.weight(ones, "F32"),
            device.weight(ones.astype(np.float16), "F16"),
            device.weight(halves, "BF16"),
            device.array(ones),
            device.array(ones, exact=True),
        )
    )
    for array in made:
        assert device.numpy(device.matmul(array, array)).tolist() == [[2, 2], [2, 2]]
    index = _on_another_thread(lambda: device.array(np.array([1, 0])))
    assert device.numpy(device.take(made[0], index, 0)).tolist() == [[1, 1], [1, 1]]


def test_a_thread_may_end_before_its_results_are_used(mlx: Any) -> None:
    device = open_device("mlx", "float32")

    def work() -> Any:
        ones = device.array(np.ones((2, 2), np.float32))
        product = device.matmul(ones, ones)
        device.synchronize(product)
        return product

    product = _on_another_thread(work)
    assert device.numpy(device.matmul(product, product)).tolist() == [[8, 8], [8, 8]]


def test_the_default_dtype(mlx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamscope.engine.devices import mlx_ops

    limits: dict[str, int] = {}
    facts = {"device_name": "M", "max_recommended_working_set_size": 800}
    monkeypatch.setattr(mlx, "device_info", lambda: facts)
    monkeypatch.setattr(mlx, "set_wired_limit", lambda size: limits.update(wired=size))
    monkeypatch.setattr(mlx, "set_cache_limit", lambda size: limits.update(cache=size))
    for metal, dtype in ((False, "float32"), (True, "bfloat16")):
        assert not limits  # a processor's memory is nobody's to claim
        monkeypatch.setattr(mlx_ops, "has_metal", lambda metal=metal: metal)
        assert open_device("mlx").dtype == dtype
        assert open_device("mlx", "float16").dtype == "float16"
    assert limits == {"wired": 800, "cache": 100}


def test_what_is_submitted_is_computed_without_being_read(mlx: Any) -> None:
    device = open_device("mlx", "float32")
    source = device.array(np.ones((256, 256), np.float32))
    before = mlx.get_active_memory()
    product = device.matmul(source, source)
    device.synchronize()
    assert mlx.get_active_memory() == before  # nobody wanted it yet
    device.submit(product)
    device.synchronize()
    assert mlx.get_active_memory() >= before + 4 * 256 * 256
    assert device.numpy(product)[0, 0] == 256


@pytest.mark.parametrize(
    ("metal", "host", "active", "kept", "free"),
    [
        (True, 1000, 100, 50, 500),  # the share of the GPU, 600, is what bounds
        (True, 300, 100, 50, 350),  # other programs have taken the memory that both share
        (True, None, 700, 0, 0),
        (False, 1000, 100, 50, 1050),
        (False, None, 100, 50, None),
    ],
)
def test_free_memory(
    mlx: Any,
    monkeypatch: pytest.MonkeyPatch,
    metal: bool,
    host: int | None,
    active: int,
    kept: int,
    free: int | None,
) -> None:
    from dreamscope.engine.devices import mlx_ops

    device = open_device("mlx", "float32")
    monkeypatch.setattr(mlx_ops, "has_metal", lambda: metal)
    monkeypatch.setattr(mlx_ops, "free_host_memory", lambda: host)
    monkeypatch.setattr(mlx, "device_info", lambda: {"max_recommended_working_set_size": 600})
    monkeypatch.setattr(mlx, "get_active_memory", lambda: active)
    monkeypatch.setattr(mlx, "get_cache_memory", lambda: kept)
    assert device.free_memory() == free


def test_threads_cannot_be_set(mlx: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="MLX chooses its threads itself"):
        open_device("mlx", threads=1)


def test_without_mlx_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dreamscope.engine.devices.mlx_ops", raising=False)
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    with pytest.raises(DeviceUnavailable, match=r"pip install 'dreamscope\[mlx\]'.*--device cpu"):
        open_device("mlx")


def test_mlx_is_loaded_only_when_it_is_opened() -> None:
    code = (
        "import sys; from dreamscope.engine.devices.registry import open_device; open_device('cpu'); "
        "print('mlx.core' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert printed.stdout.strip() == "False", printed.stderr
