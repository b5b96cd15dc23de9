"""Labelled scenes: sprites placed on a procedural background, with everything a question could ask about.

Every listing follows one order, by centre x: the model needs a single deterministic order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from dreamscope.engine.sprite import backgrounds
from dreamscope.engine.sprite.raster import sprite
from dreamscope.engine.sprite.world import BY_NAME, COLOURS, FIRST_LIGHT, STYLES

_TRIES = 14
_OVERLAP = 0.12


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One sprite: class, attribute, box (x0, y0, x1, y1) in fractions, and its alpha in the scene."""

    name: str
    style: str
    colour: str | None  # the painted or natural colour, None where the class has no single one
    painted: bool
    flip: bool
    box: tuple[float, float, float, float]
    origin: tuple[int, int]  # left, top in pixels
    alpha: np.ndarray  # float32 [h, w], 0..1, pixels of the scene

    @property
    def center(self) -> tuple[float, float]:
        """Centre of the box (x, y), fractions."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixels uint8 [side, side, 3], objects in listing order, the background's name in captions."""

    pixels: np.ndarray
    objects: tuple[SceneObject, ...]
    background: str

    def named(self, name: str) -> list[SceneObject]:
        """Objects of one class, in listing order."""
        return [item for item in self.objects if item.name == name]

    @property
    def names(self) -> list[str]:
        """Distinct class names in listing order."""
        return list(dict.fromkeys(item.name for item in self.objects))

    def mask(self, index: int) -> np.ndarray:
        """Boolean mask [side, side] of one object (alpha > 0.4)."""
        item = self.objects[index]
        left, top = item.origin
        height, width = item.alpha.shape
        full = np.zeros(self.pixels.shape[:2], bool)
        full[top : top + height, left : left + width] = item.alpha > 0.4
        return full


@dataclass(frozen=True, slots=True)
class Stage:
    """What scenes may hold: picture side in pixels, classes, styles, number of objects."""

    side: int
    classes: tuple[str, ...] = FIRST_LIGHT
    styles: tuple[str, ...] = STYLES
    most: int = 6
    empty: float = 0.04
    scale: float = 1.0  # multiplies sprite sizes


class SceneMaker:
    """Draws scenes for one stage; the background pool is built once and owned by the maker."""

    def __init__(self, stage: Stage, seed: int, pool_size: int = 500) -> None:
        self.stage = stage
        rng = np.random.default_rng([seed, 77])
        self._backgrounds = backgrounds.pool(rng, stage.side, pool_size)

    def make(self, rng: np.random.Generator, most: int | None = None) -> Scene:
        """One scene of up to `most` objects (default: the stage's limit). All randomness comes from `rng`."""
        most = most or self.stage.most
        canvas, name = self._canvas(rng)
        count = 0 if rng.random() < self.stage.empty else int(rng.integers(1, most + 1))
        placed: list[SceneObject] = []
        for kind in self._cast(rng, count):
            item = self._place(rng, canvas, kind, count, placed)
            if item is not None:
                placed.append(item)
        placed.sort(key=lambda item: item.center[0])
        return Scene(np.clip(canvas, 0, 255).astype(np.uint8), tuple(placed), name)

    def _canvas(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        chosen = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        pixels = chosen.pixels[:, ::-1] if rng.random() < 0.5 else chosen.pixels
        return pixels.astype(np.float32) * np.float32(rng.uniform(0.85, 1.1)), chosen.name

    def _cast(self, rng: np.random.Generator, count: int) -> list[tuple[str, str | None]]:
        """Class and painted colour of each object; few distinct picks, so that classes repeat."""
        picks = []
        for _ in range(int(rng.integers(1, min(5, count) + 1)) if count else 0):
            kind = str(rng.choice(self.stage.classes))
            colour = str(rng.choice(list(COLOURS))) if BY_NAME[kind].recolour else None
            picks.append((kind, colour))
        cast = picks + [picks[int(rng.integers(len(picks)))] for _ in range(count - len(picks))]
        return [
            (kind, str(rng.choice(list(COLOURS))) if colour and rng.random() < 0.4 else colour)
            for kind, colour in cast
        ]

    def _place(
        self,
        rng: np.random.Generator,
        canvas: np.ndarray,
        kind: tuple[str, str | None],
        count: int,
        placed: list[SceneObject],
    ) -> SceneObject | None:
        """Blend one sprite in at a free place, or give up after a few tries."""
        name, colour = kind
        style = str(rng.choice(self.stage.styles))
        flip = bool(rng.random() < 0.5)
        largest = 0.46 if count <= 3 else 0.38 if count <= 5 else 0.31
        side = canvas.shape[0]
        art = sprite(name, style, colour)
        aspect = float(np.exp(rng.uniform(-0.28, 0.28)))
        for _ in range(_TRIES):
            length = rng.uniform(0.15, largest) * side * self.stage.scale
            height = int(max(6, length * min(1.0, art.shape[0] / art.shape[1] * aspect)))
            width = int(max(6, length * min(1.0, art.shape[1] / art.shape[0] / aspect)))
            left, top = int(rng.integers(0, side - width + 1)), int(rng.integers(0, side - height + 1))
            box = (left / side, top / side, (left + width) / side, (top + height) / side)
            if all(_covered(box, other.box) <= _OVERLAP for other in placed):
                break
        else:
            return None
        image = Image.fromarray(art).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.asarray(image).astype(np.float32)
        if flip:
            pixels = pixels[:, ::-1]
        alpha = pixels[..., 3] / 255
        area = canvas[top : top + height, left : left + width]
        area += alpha[..., None] * (pixels[..., :3] * np.float32(rng.uniform(0.85, 1.1)) - area)
        painted = colour is not None
        return SceneObject(
            name, style, colour or BY_NAME[name].colour, painted, flip, box, (left, top), alpha
        )


def _covered(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection as a share of the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
