"""The operations of batches against numpy and the plain sampler, on every device."""

from __future__ import annotations

import numpy as np
import pytest

from dreamscope.engine.devices.base import Device, DType, Rotation
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


def test_a_mirror_brings_the_rows_it_is_told_to(device: Device) -> None:
    place = device.mirror(np.zeros((2, 3), bool))
    place.host[:] = True
    before = place.array
    place.upload([])
    place.upload([1])
    shared = device.name == "cpu"  # one memory, where everything is there at once
    np.testing.assert_array_equal(device.numpy(place.array), [[shared] * 3, [True] * 3])
    if device.name.startswith("mlx"):  # a step that was noted before sees what was there then
        assert not device.numpy(before).any()


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


@pytest.mark.parametrize("mask", [[True, False, True], [False, False], [True]])
def test_the_true_places_are_known_or_not_asked_for(device: Device, mask: list[bool]) -> None:
    found = device.true_places(device.array(np.array(mask)))
    assert found is None or device.numpy(found).tolist() == np.flatnonzero(mask).tolist()
    assert (found is not None) == isinstance(device, CpuDevice)


def test_the_first_of_equals_is_the_largest_and_no_number_is_larger(device: Device) -> None:
    x = np.array([[1, 3, 3], [2, 9, np.nan], [-np.inf, -np.inf, -np.inf]], np.float32)
    assert device.numpy(device.argmax(device.array(x))).tolist() == [1, 2, 0]


def test_softmax_is_float32(device: Device) -> None:
    x = normal(2, 7)
    weights = np.exp(x - x.max(1, keepdims=True))
    found = device.numpy(device.softmax(device.array(x)))
    np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("gathered", "dtype"),
    [(None, "float32"), (400, "bfloat16"), (10, "bfloat16")],
)
@pytest.mark.parametrize("heads", [2, 4])
def test_a_query_sees_its_own_pages(device: Device, gathered: int | None, dtype: DType, heads: int) -> None:
    """However much is gathered at a time, and in 16 bits as well."""
    if isinstance(device, CpuDevice) and gathered is not None:
        device = CpuDevice(dtype, gathered=gathered)
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
            expected = weights @ v[pages, group] / weights.sum()
            np.testing.assert_allclose(found[row, head], expected, atol=1e-5 if dtype == "float32" else 0.05)


@pytest.mark.parametrize(("first", "block"), [(0, 0), (0, 7), (0, 11), (3, 7), (7, 7), (10, 7), (9, 0)])
def test_queries_of_a_prompt_see_the_block_and_what_is_before_them(
    device: Device, first: int, block: int
) -> None:
    k, v, q = normal(40, 2, 8), normal(40, 2, 8) * 2, normal(11 - first, 4, 8)
    table = np.random.default_rng(1).permutation(39)[:11]
    arguments = (device.array(each) for each in (q, k, v, table))
    found = device.numpy(device.prefix_attention(*arguments, block))
    for row, place in enumerate(range(first, 11)):
        pages = table[: block if place < block else place + 1]
        for head in range(4):
            scores = k[pages, head // 2] @ q[row, head] / np.sqrt(8)
            weights = np.exp(scores - scores.max())
            wanted = weights @ v[pages, head // 2] / weights.sum()
            np.testing.assert_allclose(found[row, head], wanted, atol=1e-5)


def test_keys_are_rotated_and_stored(device: Device) -> None:
    heads, values, k, v = normal(3, 6, 8), normal(3, 2, 8), normal(9, 2, 8), normal(9, 2, 8)
    cos, sin, first, second = normal(3, 1, 8), normal(3, 1, 8) + 1, np.arange(8)[::-1], np.arange(8) // 2
    rotation = Rotation(
        *(device.array(each, exact=True) for each in (cos, sin)),
        *(device.array(np.array(each)) for each in (first, second)),
    )
    pages, kept = device.array(np.array([8, 0, 3])), (device.array(k), device.array(v))
    found = device.rotate_store(device.array(heads), device.array(values), rotation, pages, *kept)
    turned = heads[..., first] * cos + heads[..., second] * sin
    k[[8, 0, 3]], v[[8, 0, 3]] = turned[:, 4:], values
    for one, wanted in zip(found, (turned[:, :4], k, v), strict=True):
        np.testing.assert_allclose(device.numpy(one), wanted, atol=1e-5)


@pytest.mark.parametrize("length", [1, 4])
def test_rows_use_their_own_adapters(device: Device, length: int) -> None:
    slots, x, y = np.array([2, 0, 1]), normal(3, length, 6), normal(3, length, 10)
    down, up = normal(3, 6, 2), normal(3, 2, 10)
    down[0] = up[0] = 0
    found = device.numpy(device.lora(*(device.array(each) for each in (y, x, down, up, slots))))
    np.testing.assert_allclose(found, y + x @ down[slots] @ up[slots], atol=1e-4)


@pytest.mark.parametrize("each", [1, 2])
def test_rows_use_the_experts_of_their_own_adapters(device: Device, each: int) -> None:
    """As many rows as slots, or two of each."""
    slots, rows = np.array([2, 0]), 2 * each
    ids = np.array([[0, 2], [3, 1], [2, 0], [1, 2]])[:rows]
    x, y, a, b = normal(rows, 1, 6), normal(rows, 2, 10), normal(3, 4, 5, 6), normal(3, 4, 10, 5)
    a[0] = b[0] = 0
    arrays = (device.array(one) for one in (y, x, a, b, slots, ids))
    found = device.numpy(device.expert_lora(*arrays))
    for row in range(rows):
        slot = slots[row // each]
        for choice, expert in enumerate(ids[row]):
            wanted = y[row, choice] + b[slot, expert] @ (a[slot, expert] @ x[row, 0])
            np.testing.assert_allclose(found[row, choice], wanted, atol=1e-4)


def test_ids_are_sampled_under_the_rules_of_their_rows(device: Device) -> None:
    """Greedy and drawn rows together; -1 where a rule leaves nothing, or no number."""
    rng = np.random.default_rng(7)
    logits, allowed = rng.standard_normal((6, 50)).astype(np.float32), rng.random((4, 50)) < 0.5
    allowed[0], allowed[3] = True, False
    rules, logits[4, 3], logits[5, 3] = np.array([0, 1, 2, 3, 0, 1]), np.nan, np.nan
    allowed[1, 3] = False
    heat, top_p, uniforms = np.array([0, 1, 1, 1, 0, 0.0]), np.full(6, 0.9), rng.random(6)
    exact = [device.array(each.astype(np.float32), exact=True) for each in (logits, heat, top_p, uniforms)]
    tables = device.array(allowed), device.array(rules)
    greedy, drawn = (
        device.numpy(device.sample(exact[0], *tables, settings)).astype(int).tolist()
        for settings in (None, tuple(exact[1:]))
    )
    left = np.where(allowed[rules], logits, -np.inf)
    best = [int(row.argmax()) for row in left]
    assert greedy == [*best[:3], -1, -1, best[5]]
    wanted = [
        plain_draw(distribution(left[row], 1.0, 0.9), float(np.float32(uniforms[row]))) for row in (1, 2)
    ]
    assert drawn == [best[0], *wanted, -1, -1, best[5]]


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
    arrays = [device.array(each) for each in (x, weight, bias)]
    product = x @ weight.T + bias
    np.testing.assert_allclose(device.numpy(device.linear(*arrays)), product, atol=1e-4)
    gelu = product / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (product + 0.044715 * product**3)))
    np.testing.assert_allclose(device.numpy(device.linear_gelu(*arrays)), gelu, atol=1e-4)
