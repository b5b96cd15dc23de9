"""Images anywhere in a prompt see themselves both ways, and everything before them."""

from __future__ import annotations

import numpy as np

from dreamscope.engine.models.base import Model
from dreamscope.engine.models.tokens import Picture
from dreamscope.engine.runtime.pictures import prefill_pictures


def _rows(model: Model) -> object:
    rgb = np.random.default_rng(4).integers(0, 256, (20, 20, 3), np.uint8)
    return model.encode_image(model.crop(rgb))


def test_an_image_behind_bos_is_the_usual_prefix(model: Model) -> None:
    rows, cache, usual = _rows(model), model.new_cache(), model.new_cache()
    rest = prefill_pictures(model, [0, Picture(0), 1, 44], [rows].__getitem__, cache)
    assert (rest, cache.length) == ([1, 44], model.config.prefix_len)
    model.prefill_image(rows, usual)
    ours, theirs = (model.logits(model.forward(model.embed([1, 44]), c)) for c in (cache, usual))
    np.testing.assert_array_equal(ours, theirs)


def test_text_alone_is_left_alone(model: Model) -> None:
    cache = model.new_cache()
    assert prefill_pictures(model, [0, 1, 44], [].__getitem__, cache) == [0, 1, 44]
    assert cache.length == 0


def test_a_later_image_sees_the_text_before_it_and_itself(model: Model) -> None:
    device, rows = model.device, _rows(model)
    cache = model.new_cache()
    assert prefill_pictures(model, [0, 50, Picture(0), 60], [rows].__getitem__, cache) == [60]
    count = model.config.image_tokens
    assert cache.length == 2 + count

    def after(image: object, text: int) -> np.ndarray:
        other = model.new_cache()
        prefill_pictures(model, [0, text, Picture(0), 60], [image].__getitem__, other)
        return device.numpy(other.values[-1])[0, :, 2]  # the first row of the image, in the last layer

    assert np.abs(after(rows, 50) - after(rows, 51)).max() > 1e-4
    swapped = device.concat((rows[:-1], rows[:1]), 0)
    assert np.abs(after(rows, 50) - after(swapped, 50)).max() > 1e-4  # it sees the last row of the image
