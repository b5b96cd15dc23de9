"""How images travel: without loss while that is cheap."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.remote.pictures import data_url
from dreamscope.engine.runtime.images import RawImage

NOISE = np.random.default_rng(0).integers(0, 256, (1000, 1100, 3), np.uint8)


@pytest.mark.parametrize(
    ("rgb", "kind"),
    [
        (NOISE[:100, :200], "png"),
        (np.zeros_like(NOISE[:1000, :1000]), "png"),
        (NOISE[:900, :900], "jpeg"),  # a megapixel at most, but many bytes
        (np.zeros_like(NOISE), "jpeg"),
    ],
)
def test_the_format_follows_the_size(rgb: np.ndarray, kind: str) -> None:
    head, _, data = data_url(RawImage(rgb, "x")).partition(",")
    assert head == f"data:image/{kind};base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (picture.format, picture.size) == (kind.upper(), (rgb.shape[1], rgb.shape[0]))
    assert kind == "jpeg" or (np.asarray(picture) == rgb).all()


def test_a_mirrored_image_is_a_view() -> None:
    assert data_url(RawImage(NOISE[:9, ::-1], "x")) == data_url(RawImage(NOISE[:9, ::-1].copy(), "x"))
