"""The model files know no array library, and run on a backend they have never seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamscope.engine.models as models
from dreamscope.engine.devices.base import Device, Int4Matrices, Matrices
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.weights.load import load_model

SOURCES = sorted(Path(next(iter(models.__path__))).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_model_file_mentions_a_backend(source: Path) -> None:
    assert not re.search(r"\b(torch|mlx|cuda|triton)\b", source.read_text(encoding="utf-8").lower())


def test_the_model_files_were_found() -> None:
    assert {"crops.py", "vision.py", "text.py", "region.py", "model.py"} <= {path.name for path in SOURCES}


class NumpyDevice:
    """The protocol over immutable numpy arrays, in float64: `write` returns a new buffer."""

    name = "numpy"
    dtype = "float32"
    keeps: frozenset[str] = frozenset()

    def weight(self, raw: np.ndarray, stored: str) -> np.ndarray:
        assert stored == "F16"
        return raw.astype(np.float64)

    def experts(self, matrices: Matrices) -> np.ndarray:
        raise AssertionError("a device that keeps no quantised form is handed none")

    def packed_linear(self, matrix: Int4Matrices) -> np.ndarray:
        raise AssertionError("a device that keeps no quantised form is handed none")

    def array(self, values: np.ndarray, exact: bool = False) -> np.ndarray:
        return values.astype(np.float64) if values.dtype.kind == "f" else values

    def zeros(self, shape: Sequence[int]) -> np.ndarray:
        return np.zeros(shape)

    def numpy(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32)

    def reshape(self, x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        return x.reshape(shape)

    def permute(self, x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        return x.transpose(axes)

    def split(self, x: np.ndarray, sizes: Sequence[int], axis: int) -> list[np.ndarray]:
        return np.split(x, np.cumsum(sizes)[:-1], axis)

    def concat(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate(parts, axis)

    def take(self, x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
        return np.take(x, indices, axis)

    def write(self, buffer: np.ndarray, rows: np.ndarray, start: int) -> np.ndarray:
        end = start + rows.shape[2]
        return np.concatenate((buffer[:, :, :start], rows, buffer[:, :, end:]), 2)

    def linear(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return x @ weight.T + bias

    def matmul(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a @ b

    def layer_norm(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias

    def gelu(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def gelu_exact(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def tanh(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def top_weights(self, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        ids = np.argsort(-scores, -1, kind="stable")[:, :k]
        best = np.exp(np.take_along_axis(scores, ids, -1))
        return ids, best / best.sum(-1, keepdims=True)

    def expert_linear(self, x: np.ndarray, weight: np.ndarray, ids: np.ndarray) -> np.ndarray:
        rows = np.broadcast_to(x, (*ids.shape, x.shape[2]))
        return np.einsum("nki,nkoi->nko", rows, weight[ids])

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        groups = q.shape[1] // k.shape[1]
        k, v = np.repeat(k, groups, 1), np.repeat(v, groups, 1)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True) @ v

    def cos(self, x: np.ndarray) -> np.ndarray:
        return np.cos(x)

    def sin(self, x: np.ndarray) -> np.ndarray:
        return np.sin(x)

    def widen(self, x: np.ndarray) -> np.ndarray:
        return x

    def narrow(self, x: np.ndarray) -> np.ndarray:
        return x

    def inference(self) -> AbstractContextManager[object]:
        return nullcontext()

    def free_memory(self) -> int | None:
        return None

    def submit(self, *results: np.ndarray) -> None:
        pass

    def synchronize(self, *results: np.ndarray) -> None:
        pass


def test_the_stand_in_implements_the_whole_protocol() -> None:
    wanted = {name for name in vars(Device) if not name.startswith("_")}
    assert wanted <= set(dir(NumpyDevice)), wanted - set(dir(NumpyDevice))


def test_a_second_backend_gives_the_same_answers(model: Moondream2, checkpoint: Path) -> None:
    other = load_model(checkpoint, NumpyDevice())  # type: ignore[arg-type]
    rgb = np.random.default_rng(3).integers(0, 256, (41, 57, 3), np.uint8)
    assert model.crop(rgb).tiling != (1, 1)
    seen: list[list[Any]] = []
    for each in (model, other):
        cache = each.new_cache(50)
        prefix = each.prefill_image(each.encode_image(each.crop(rgb)), cache)
        prompt = each.hidden_states(each.embed([1, Coord(0.25), Coord(0.5), Size(0.1, 0.3), 44]), cache)
        last = each.forward(each.embed([60]), cache)
        hidden = [each.device.numpy(x) for x in (prefix, prompt, last)]
        seen.append([*hidden, each.logits(last), each.coord_logits(last), each.size_logits(last)])
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
