"""Matrices that stay packed in MLX: the products, in every dtype, and what they take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device, Fp8Matrices, Int4Matrices
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "moondream3"

EXPERTS, OUT, IN, GROUP = 6, 48, 512, 64
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


@pytest.fixture(params=sorted(TOLERANCE))
def mlx_device(request: pytest.FixtureRequest) -> Device:
    pytest.importorskip("mlx.core")
    return open_device("mlx", request.param)


def _int4(into: int = IN) -> tuple[Int4Matrices, np.ndarray]:
    """Packed, and the numbers that it stands for."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (EXPERTS, OUT, into))
    scales, biases = (
        rng.uniform(low, 0.01, (EXPERTS, OUT, into // GROUP)).astype(np.float32) for low in (0.005, -0.1)
    )
    words = sum(codes[..., place::8].astype(np.uint32) << np.uint32(4 * place) for place in range(8))
    dense = codes * scales.repeat(GROUP, -1) + biases.repeat(GROUP, -1)
    return Int4Matrices(np.asarray(words, np.uint32), scales, biases, "F32"), dense


def _fp8(into: int = IN) -> tuple[Fp8Matrices, np.ndarray]:
    """Packed, and the numbers: 1 sign, 4 exponent and 3 fraction bits; no code of a row is a NaN."""
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 256, (EXPERTS, OUT, into)).astype(np.uint8)
    codes[(codes & 127) == 127] = 0
    exponent, fraction = (codes >> 3 & 15).astype(int), (codes & 7) / 8
    values = np.where(exponent == 0, fraction * 2.0**-6, (1 + fraction) * 2.0 ** (exponent - 7))
    scales = rng.uniform(0.5, 1.0, (EXPERTS, OUT)).astype(np.float32) / 448
    return Fp8Matrices(codes, scales), np.where(codes > 127, -values, values) * scales[..., None]


FORMS = {"int4": _int4, "fp8": _fp8}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("rows", [1, 2, 40])
@pytest.mark.parametrize("each", [False, True])
def test_products_are_those_of_the_numbers(mlx_device: Device, form: str, rows: int, each: bool) -> None:
    packed, dense = FORMS[form]()
    rng = np.random.default_rng(rows)
    k = 3
    ids = np.stack([rng.permutation(EXPERTS - 1)[:k] for _ in range(rows)])  # nobody chooses the last one
    x = rng.uniform(-1, 1, (rows, k if each else 1, IN)).astype(np.float32)
    array = mlx_device.array(x)
    actual = mlx_device.numpy(
        mlx_device.expert_linear(array, mlx_device.experts(packed), mlx_device.array(ids))
    )
    seen = np.broadcast_to(mlx_device.numpy(array), (rows, k, IN))
    expected = np.einsum("nki,nkoi->nko", seen, dense[ids])
    assert actual.shape == (rows, k, OUT)
    bound = TOLERANCE[mlx_device.dtype] * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, atol=bound)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_numbers_can_be_read(mlx_device: Device, form: str) -> None:
    packed, dense = FORMS[form]()
    weight = mlx_device.experts(packed)
    assert tuple(weight.shape) == (EXPERTS, OUT, IN)
    np.testing.assert_allclose(mlx_device.numpy(weight), dense, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("form", "bits"), [("int4", 4 + 2 * 32 / GROUP), ("fp8", 8 + 8 / 32 + 32 / IN)])
def test_it_takes_what_the_codes_take(mlx_device: Device, form: str, bits: float) -> None:
    import mlx.core as mx

    packed, dense = FORMS[form]()
    before = mx.get_active_memory()
    weight = mlx_device.experts(packed)
    held = mx.get_active_memory() - before
    assert weight.nbytes == dense.size * bits / 8
    assert weight.nbytes <= held < 1.1 * weight.nbytes + 16_384


def test_products_need_no_dense_copy(mlx_device: Device) -> None:
    import mlx.core as mx

    packed, dense = _int4()
    weight, x = mlx_device.experts(packed), mlx_device.array(np.ones((1, 1, IN), np.float32))
    ids = mlx_device.array(np.array([[0, 1, 2]]))
    mlx_device.synchronize(x, ids, weight)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mlx_device.synchronize(mlx_device.expert_linear(x, weight, ids))
    assert mx.get_peak_memory() - before < dense.size / EXPERTS


def test_rows_that_do_not_fit_the_groups_become_dense(mlx_device: Device) -> None:
    packed, dense = _fp8(into=24)
    weight: Any = mlx_device.experts(packed)
    np.testing.assert_allclose(mlx_device.numpy(weight), dense, rtol=TOLERANCE[mlx_device.dtype], atol=1e-6)
    ids, x = mlx_device.array(np.array([[4, 0]])), mlx_device.array(np.ones((1, 1, 24), np.float32))
    product = mlx_device.numpy(mlx_device.expert_linear(x, weight, ids))
    np.testing.assert_allclose(product[0], dense[[4, 0]].sum(-1), atol=0.05)


def test_stored_halves_are_read_as_what_they_are(mlx_device: Device) -> None:
    """Scales come as bits of bfloat16, as in the published conversion."""
    packed, _ = _int4()
    bits = [(part.view(np.uint32) >> 16).astype(np.uint16) for part in (packed.scales, packed.biases)]
    scales, biases = ((part.astype(np.uint32) << 16).view(np.float32) for part in bits)
    halves = mlx_device.experts(Int4Matrices(packed.codes, *bits, "BF16"))
    wide = mlx_device.experts(Int4Matrices(packed.codes, scales, biases, "F32"))
    np.testing.assert_array_equal(mlx_device.numpy(halves), mlx_device.numpy(wide))


@pytest.mark.parametrize(("name", "file"), [("tiny_a", "weights_mlx_int4"), ("tiny_b", "weights_fp8")])
def test_a_quantised_checkpoint_stays_small(mlx_device: Device, name: str, file: str) -> None:
    folder = GOLDEN / name
    weights = folder / f"{file}.safetensors"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = load_files(ModelFiles(weights, folder / "tokenizer.json", config), mlx_device)
    layer: Any = model.weights.text.blocks[-1].mlp
    numbers = int(np.prod(layer.fc2.shape))
    bytes_each = {"tiny_a": 4 / 8, "tiny_b": 1}[name]
    assert numbers * bytes_each < layer.fc2.nbytes < 1.3 * numbers * bytes_each
