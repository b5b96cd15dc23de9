"""The assembled model: caches, prompts with numbers in them, several sequences at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models import text
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Size
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import byte_tokenizer

PROMPT: list[PromptItem] = [1, 40, 2, 100, 101, 3]


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (33, 47, 3), np.uint8)


def _prefix(model: Moondream2, rgb: np.ndarray) -> KVCache:
    cache = model.new_cache()
    model.prefill_image(model.encode_image(model.crop(rgb)), cache)
    return cache


def test_one_pass_equals_one_position_at_a_time(model: Moondream2) -> None:
    at_once, slowly = model.new_cache(), model.new_cache()
    together = model.device.numpy(model.hidden_states(model.embed(PROMPT), at_once))
    single = [model.device.numpy(model.forward(model.embed([item]), slowly)) for item in PROMPT]
    np.testing.assert_allclose(together, np.stack(single), atol=1e-4)
    assert at_once.length == slowly.length == len(PROMPT)


def test_the_image_comes_before_everything(model: Moondream2, rgb: np.ndarray) -> None:
    cache = _prefix(model, rgb)
    assert cache.length == model.config.prefix_len
    with pytest.raises(ValueError, match="not empty"):
        model.prefill_image(model.encode_image(model.crop(rgb)), cache)


def test_a_copied_prefix_is_independent(model: Moondream2, rgb: np.ndarray) -> None:
    shared = _prefix(model, rgb)
    one = shared.copy_of_prefix(shared.length, shared.length + 8)
    first = model.logits(model.forward(model.embed(PROMPT), one))
    other = shared.copy_of_prefix(shared.length, shared.length + 8)
    model.forward(model.embed([50, 51]), other)
    again = shared.copy_of_prefix(shared.length, shared.length + 8)
    np.testing.assert_array_equal(model.logits(model.forward(model.embed(PROMPT), again)), first)
    assert shared.length == model.config.prefix_len


def test_copies_must_fit(model: Moondream2) -> None:
    cache = model.new_cache(8)
    model.forward(model.embed(PROMPT), cache)
    for n, capacity in ((7, 8), (5, 4), (-1, 4)):
        with pytest.raises(ValueError, match="Cannot copy"):
            cache.copy_of_prefix(n, capacity)


def test_a_full_cache_says_so(model: Moondream2) -> None:
    cache = model.new_cache(5)
    with pytest.raises(ValueError, match="6 positions after 0 do not fit in a cache of 5"):
        model.forward(model.embed(PROMPT), cache)
    assert cache.length == 0


@pytest.mark.parametrize("capacity", [0, -1, 65])
def test_a_cache_is_at_most_the_context(model: Moondream2, capacity: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 positions"):
        model.new_cache(capacity)


def test_cache_size_in_bytes(model: Moondream2) -> None:
    assert model.new_cache(10).nbytes(4) == 2 * 2 * 2 * 10 * 8 * 4  # k and v, layers, heads, slots, width


def test_numbers_stand_where_they_were_written(model: Moondream2) -> None:
    prompt: list[PromptItem] = [Coord(0.25), 40, Size(0.1, 0.9), 41, Coord(0.75), Coord(0.5)]
    rows = model.device.numpy(model.embed(prompt))
    for index, item in enumerate(prompt):
        np.testing.assert_allclose(rows[index], model.device.numpy(model.embed([item]))[0], atol=1e-6)
    coords = model.device.numpy(model.encode_coords(np.array([0.25, 0.75, 0.5], np.float32)))
    np.testing.assert_allclose(rows[[0, 4, 5]], coords, atol=1e-6)


def test_an_empty_prompt_is_refused(model: Moondream2) -> None:
    with pytest.raises(ValueError, match="at least one item"):
        model.embed([])


def test_a_tokenizer_with_more_ids_than_rows_is_refused(
    model: Moondream2, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = byte_tokenizer()
    data["model"]["vocab"]["zz"] = model.config.text.vocab_size
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(WeightsInvalid, match=r"ids up to 290, the model only 290 rows"):
        Moondream2(model.config, model.device, model.weights, Tokenizer.load(path))


def test_a_batch_equals_its_sequences(model: Moondream2, config: Moondream2Config, device: Device) -> None:
    """The decoder functions take `[B, T, D]` and positions of each sequence."""
    t = config.text
    heads = text.Heads(t.n_heads, t.n_kv_heads, t.head_dim)
    rope = build_rope(device, t.head_dim, t.rotary_dim, t.max_context)
    x = np.random.default_rng(0).standard_normal((2, 3, t.dim)).astype(np.float32)
    mask = device.array(np.tril(np.ones((3, 3), bool)))
    starts = (0, 9)

    def attend(_: int, q: Array, k: Array, v: Array) -> Array:
        return device.attention(q, k, v, mask)

    def run(rows: np.ndarray, cos: Array, sin: Array) -> np.ndarray:
        blocks = model.weights.text.blocks
        hidden = text.run_blocks(
            device,
            blocks,
            heads,
            device.array(rows),
            text.rotated(device, heads, rope._replace(cos=cos, sin=sin), attend),
        )
        return device.numpy(hidden)

    positions = device.array(np.concatenate([np.arange(s, s + 3) for s in starts]))
    shape = (2, 3, 1, t.head_dim)
    cos, sin = (device.reshape(device.take(table, positions, 0), shape) for table in (rope.cos, rope.sin))
    together = run(x, cos, sin)
    for index, start in enumerate(starts):
        alone = run(x[index : index + 1], rope.cos[start : start + 3], rope.sin[start : start + 3])
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.15), ("float16", 0.02)])
def test_half_precision_stays_near(
    model: Moondream2, device_name: str, checkpoint: object, rgb: np.ndarray, dtype: str, tolerance: float
) -> None:
    half = load_model(str(checkpoint), open_device(device_name, dtype))
    seen = []
    for each in (model, half):
        hidden = each.forward(each.embed([*PROMPT, Coord(0.3), Size(0.2, 0.4)]), _prefix(each, rgb))
        seen.append(
            np.concatenate((each.logits(hidden), each.coord_logits(hidden), each.size_logits(hidden)[0]))
        )
    assert seen[0].dtype == seen[1].dtype == np.float32
    np.testing.assert_allclose(seen[1], seen[0], atol=tolerance * np.abs(seen[0]).max())
