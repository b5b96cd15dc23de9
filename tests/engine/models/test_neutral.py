"""The model files know no array library, and run on a backend they have never seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dreamscope.engine.models as models
from dreamscope.engine.devices.base import Device, Int4Matrices, Matrices
from dreamscope.engine.devices.composed import ComposedOps
from dreamscope.engine.devices.runner import Draws, ImageKey, Limits, Prefill, Rule, positions_of
from dreamscope.engine.devices.steps import Steps
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.runtime.sampling import distribution, draw
from dreamscope.engine.weights.load import load_model

SOURCES = sorted(Path(next(iter(models.__path__))).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_model_file_mentions_a_backend(source: Path) -> None:
    assert not re.search(r"\b(torch|mlx|cuda|triton)\b", source.read_text(encoding="utf-8").lower())


def test_the_model_files_were_found() -> None:
    assert {"crops.py", "vision.py", "text.py", "region.py", "model.py"} <= {path.name for path in SOURCES}


class NumpyDevice(ComposedOps):
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

    def mirror(self, values: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(host=values, array=values, upload=lambda rows=None: None)

    def store(self, buffer: np.ndarray, indices: np.ndarray, rows: np.ndarray) -> np.ndarray:
        changed = buffer.copy()
        changed[indices] = rows
        return changed

    def take_along(self, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, indices, -1)

    def where(self, condition: np.ndarray, a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
        return np.where(condition, a, b)

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

    def paged_attention(
        self, q: np.ndarray, k: np.ndarray, v: np.ndarray, table: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        rows = []
        for query, pages, length in zip(q, table, lengths, strict=True):
            keys, values = (each[pages[:length]].transpose(1, 0, 2)[None] for each in (k, v))
            rows.append(self.attention(query[None, :, None], keys, values, None)[0, :, 0])
        return np.stack(rows)

    def prefix_attention(
        self, q: np.ndarray, k: np.ndarray, v: np.ndarray, table: np.ndarray, block: int
    ) -> np.ndarray:
        places = np.arange(len(table))
        own = places[len(table) - len(q) :, None]
        q, k, v = (each.transpose(1, 0, 2)[None] for each in (q, k[table], v[table]))
        seen = (places <= own) | ((places < block) & (own < block))
        return self.attention(q, k, v, seen)[0].transpose(1, 0, 2)

    def softmax(self, x: np.ndarray) -> np.ndarray:
        weights = np.exp(x - x.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def argmax(self, x: np.ndarray) -> np.ndarray:
        return np.argmax(x, -1)

    def draw(
        self, logits: np.ndarray, temperature: np.ndarray, top_p: np.ndarray, uniforms: np.ndarray
    ) -> np.ndarray:
        settings = zip(logits, temperature, top_p, uniforms, strict=True)
        return np.array([draw(distribution(row, float(t), float(p)), float(u)) for row, t, p, u in settings])

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


def test_a_second_backend_decodes_the_same_batch(model: Moondream2, checkpoint: Path) -> None:
    other = load_model(checkpoint, NumpyDevice())  # type: ignore[arg-type]
    crops = model.crop(np.random.default_rng(3).integers(0, 256, (41, 57, 3), np.uint8))
    image = ImageKey("a", model.config.image_tokens)
    prompts = [Prefill(1, 0, [0, image, 30, 2], 0, (crops,)), Prefill(2, 0, [0, 44, Coord(0.5), 2], 0)]
    lengths = np.array([positions_of(one.elements) for one in prompts])
    draws = [Draws(np.array(t, np.float32), np.ones(2, np.float32), None) for t in ([0, 0], [0, 1])]
    draws[1] = replace(draws[1], uniforms=np.full((2, 4), 0.4, np.float32))
    rows, rules, seen = np.array([1, 2]), np.array([0, 1]), []
    for each in (model, other):
        program = each.batched(Limits(2, 4, 64, model.config.text.vocab_size, 101))
        program.set_rule(1, Rule(suppressed=frozenset({0}), numbers=frozenset({5, 6}), folded=5))
        program.table.host[1:3, :50] = 1 + np.arange(100).reshape(2, 50)
        steps, picked = Steps(program), np.zeros((4, 2, 4), np.int64)
        with steps.scope():
            steps.prefill(prompts)
            steps.sample(rows, rules, draws[0], picked[0])
            for step in range(1, 4):
                steps.decode(rows, lengths + step - 1, np.zeros(2, np.int64))
                steps.sample(rows, rules, draws[step % 2], picked[step])
        seen.append(picked)
    ids, bins = ([picked[..., part] for picked in seen] for part in (0, 1))
    np.testing.assert_array_equal(*ids)
    assert (ids[0][:, 1] == 5).all()
    np.testing.assert_array_equal(*[each[:, 1] for each in bins])  # the row that reads coordinates
