"""Procedural backgrounds: a pool of pictures built once, used flipped and rescaled in brightness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

_PLAIN = {
    "red": (214, 96, 90), "orange": (235, 170, 105), "yellow": (240, 222, 140), "green": (150, 195, 140),
    "blue": (140, 180, 225), "purple": (175, 150, 205), "pink": (240, 190, 205), "gray": (165, 168, 172),
    "white": (242, 242, 240), "brown": (150, 118, 92),
}  # fmt: skip
_GROUND = {  # sky colour, ground colour
    "a grassy field": ((160, 205, 240), (110, 170, 85)),
    "a sandy beach": ((175, 215, 240), (228, 205, 150)),
    "the sea": ((190, 222, 245), (60, 120, 180)),
    "snow": ((205, 222, 238), (240, 244, 248)),
    "a night sky": ((20, 24, 56), (44, 48, 84)),
}
_KINDS = {
    "plain": 0.26, "gradient": 0.14, "a grassy field": 0.14, "a sandy beach": 0.10, "the sea": 0.08,
    "a checkered background": 0.08, "a striped background": 0.08, "snow": 0.06, "a night sky": 0.06,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Background:
    """A picture uint8 [side, side, 3] and what a caption calls it."""

    pixels: np.ndarray
    name: str


def pool(rng: np.random.Generator, side: int, count: int) -> list[Background]:
    """`count` backgrounds of `side` pixels."""
    kinds, weights = list(_KINDS), np.array(list(_KINDS.values()))
    return [_background(rng, str(rng.choice(kinds, p=weights)), side) for _ in range(count)]


def _background(rng: np.random.Generator, kind: str, side: int) -> Background:
    colours = list(_PLAIN)
    first, second = (str(c) for c in rng.choice(colours, 2, replace=False))
    base = _tint(rng, _PLAIN[first])
    name = kind
    if kind == "plain":
        picture, name = np.broadcast_to(base, (side, side, 3)), f"a {first} background"
    elif kind == "gradient":
        picture, name = _gradient(rng, base, side), f"a {first} background"
    elif kind in _GROUND:
        sky, ground = (_tint(rng, colour) for colour in _GROUND[kind])
        picture = _horizon(rng, sky, ground, side)
    else:
        picture = _pattern(rng, base, _tint(rng, _PLAIN[second]), side, striped=kind.startswith("a striped"))
    pixels = np.clip(picture + _noise(rng, side), 0, 255).astype(np.uint8)
    return Background(pixels, name.replace("a orange", "an orange"))


def _tint(rng: np.random.Generator, colour: tuple[int, int, int]) -> np.ndarray:
    return np.array(colour, np.float32) + rng.uniform(-14, 14, 3).astype(np.float32)


def _gradient(rng: np.random.Generator, base: np.ndarray, side: int) -> np.ndarray:
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return base + slope[..., None] * rng.uniform(15, 45)


def _horizon(rng: np.random.Generator, sky: np.ndarray, ground: np.ndarray, side: int) -> np.ndarray:
    rows = np.arange(side, dtype=np.float32)[:, None, None]
    level = rng.uniform(0.3, 0.7) * side
    picture = np.where(rows < level, sky + (rows - level) * 0.15, ground - (rows - level) * 0.12)
    return np.broadcast_to(picture, (side, side, 3))


def _pattern(
    rng: np.random.Generator, first: np.ndarray, second: np.ndarray, side: int, striped: bool
) -> np.ndarray:
    width = rng.uniform(0.06, 0.2) * side
    y, x = np.mgrid[:side, :side].astype(np.float32)
    if striped:
        angle = rng.uniform(0, np.pi)
        odd = ((x * np.cos(angle) + y * np.sin(angle)) // width) % 2 == 1
    else:
        odd = (x // width + y // width) % 2 == 1
    contrast = rng.uniform(0.25, 1.0)
    return np.where(odd[..., None], first + (second - first) * contrast, first)


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    cells = int(rng.integers(3, 21))
    coarse = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32) * rng.uniform(0, 24)
    planes = [Image.fromarray(coarse[..., channel]) for channel in range(3)]
    return np.stack(
        [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes], -1
    )
