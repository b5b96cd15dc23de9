"""Emoji art to sprites: rasterise the shipped SVG bodies and recolour them.

The art is committed (`art/*.json`, licences in NOTICE), so neither training nor the tests need a registry.
Rasterising needs the `resvg_py` package (extra `train`).
"""

from __future__ import annotations

import io
import json
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

from dreamscope.engine.sprite.world import COLOURS

SIDE = 96
"""Longest side of a sprite, pixels."""


@cache
def icons(style: str) -> dict[str, dict[str, object]]:
    """Class name → SVG body and view box of one style. Raises `FileNotFoundError` for an unknown style."""
    text = files("dreamscope.engine.sprite").joinpath("art", f"{style}.json").read_text("utf-8")
    found: dict[str, dict[str, object]] = json.loads(text)["icons"]
    return found


@cache
def sprite(name: str, style: str, colour: str | None = None, side: int = SIDE) -> np.ndarray:
    """RGBA uint8 [h, w, 4], cropped to its visible box, longest side `side`, recoloured if asked for.

    Raises `KeyError` for a class that the art lacks.
    """
    rgba = _rasterise(icons(style)[name], side)
    return rgba if colour is None else recolour(rgba, colour)


def _rasterise(icon: dict[str, object], side: int) -> np.ndarray:
    import resvg_py  # only needed to draw; the trained model and the playground do without

    box = f"{icon['left']} {icon['top']} {icon['width']} {icon['height']}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=2 * side, height=2 * side)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    alpha = np.asarray(image)[..., 3] > 40
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    image = image.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def recolour(rgba: np.ndarray, colour: str) -> np.ndarray:
    """Move the dominant hue to `colour` and scale saturation and value of those pixels to its medians.

    Without the second step yellow, pink and orange cannot be told apart on dark art.
    """
    degrees, saturation, value = COLOURS[colour]
    target = degrees * 256 / 360
    hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV")).astype(np.float32)
    vivid = (hsv[..., 1] > 70) & (rgba[..., 3] > 100)
    dominant = float(np.bincount(hsv[..., 0][vivid].astype(np.int64), minlength=256).argmax())
    offset = (hsv[..., 0] - dominant + 128) % 256 - 128
    chosen = (np.abs(offset) <= 28) & (hsv[..., 1] > 40)
    core = chosen & vivid
    hsv[..., 0][chosen] = (target + 0.3 * offset[chosen]) % 256
    for channel, wanted in ((1, saturation), (2, value)):
        median = max(1.0, float(np.median(hsv[..., channel][core])))
        hsv[..., channel][chosen] = np.clip(hsv[..., channel][chosen] * (wanted / median), 0, 255)
    rgb = np.asarray(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))
    return np.dstack([rgb, rgba[..., 3]])
