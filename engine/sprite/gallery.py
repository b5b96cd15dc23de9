"""The example scenes of the playground: `python -m dreamscope.engine.sprite.gallery DIR` draws them again.

Composed by hand from the same art and backgrounds as the training scenes, at a size that is nice to look at.
The model has never seen them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dreamscope.engine.sprite.raster import sprite

WIDTH, HEIGHT = 960, 768


@dataclass(frozen=True, slots=True)
class Prop:
    """One sprite: class, style, centre x and y and longest side as fractions of the width and height."""

    name: str
    style: str
    x: float
    y: float
    size: float
    colour: str | None = None
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and what the playground asks about it first."""

    file: str
    alt: str
    skill: str
    prompt: str  # the question, the object, or the caption length
    sky: tuple[int, int, int]
    ground: tuple[int, int, int]
    horizon: float
    props: tuple[Prop, ...]


EXAMPLES = (
    Example(
        "meadow.png", "Three dogs, a tree and a house on a meadow", "query", "How many dogs are there?",
        (160, 205, 240), (110, 170, 85), 0.46,
        (
            Prop("tree", "fluent", 0.16, 0.36, 0.36), Prop("house", "noto", 0.79, 0.36, 0.3),
            Prop("dog", "fluent", 0.27, 0.76, 0.24), Prop("dog", "noto", 0.53, 0.62, 0.2),
            Prop("dog", "fluent", 0.8, 0.79, 0.24, flip=True),
        ),
    ),
    Example(
        "shore.png", "Two boats, a whale, a crab and a red umbrella by the sea", "detect", "boat",
        (190, 222, 245), (60, 120, 180), 0.4,
        (
            Prop("boat", "fluent", 0.2, 0.35, 0.28), Prop("boat", "noto", 0.62, 0.28, 0.24, flip=True),
            Prop("whale", "noto", 0.4, 0.7, 0.32), Prop("crab", "fluent", 0.82, 0.8, 0.22),
            Prop("umbrella", "fluent", 0.87, 0.42, 0.26, "red"),
        ),
    ),
    Example(
        "night.png", "Four stars, an airplane and a house at night", "point", "star",
        (20, 24, 56), (44, 48, 84), 0.62,
        (
            Prop("star", "fluent", 0.14, 0.2, 0.17), Prop("star", "noto", 0.38, 0.38, 0.2),
            Prop("star", "fluent", 0.58, 0.14, 0.15), Prop("star", "noto", 0.87, 0.24, 0.18),
            Prop("airplane", "fluent", 0.67, 0.46, 0.24), Prop("house", "fluent", 0.25, 0.76, 0.3),
        ),
    ),
    Example(
        "picnic.png", "Two apples, a banana, a donut and a pizza on a meadow", "caption", "normal",
        (175, 215, 240), (228, 205, 150), 0.34,
        (
            Prop("apple", "fluent", 0.16, 0.5, 0.24), Prop("pizza", "noto", 0.42, 0.72, 0.32),
            Prop("banana", "fluent", 0.55, 0.28, 0.26), Prop("donut", "fluent", 0.77, 0.62, 0.27),
            Prop("apple", "noto", 0.86, 0.25, 0.2),
        ),
    ),
    Example(
        "colony.png", "Five penguins and a blue balloon in the snow", "query",
        "How many penguins do you see?",
        (205, 222, 238), (240, 244, 248), 0.42,
        (
            Prop("penguin", "noto", 0.13, 0.56, 0.28), Prop("penguin", "fluent", 0.33, 0.75, 0.26),
            Prop("penguin", "noto", 0.52, 0.47, 0.22, flip=True), Prop("penguin", "fluent", 0.69, 0.78, 0.28),
            Prop("penguin", "noto", 0.88, 0.6, 0.27), Prop("balloon", "fluent", 0.3, 0.22, 0.24, "blue"),
        ),
    ),
    Example(
        "street.png", "A red car, a bus, a train and two trees", "query", "What is to the left of the bus?",
        (165, 210, 240), (165, 168, 172), 0.5,
        (
            Prop("tree", "noto", 0.12, 0.3, 0.28), Prop("car", "fluent", 0.22, 0.76, 0.3, "red"),
            Prop("bus", "noto", 0.56, 0.66, 0.3), Prop("tree", "fluent", 0.9, 0.33, 0.28),
            Prop("train", "fluent", 0.86, 0.76, 0.26),
        ),
    ),
)  # fmt: skip


def draw(example: Example) -> Image.Image:
    """The picture of one example, RGB, `WIDTH` × `HEIGHT`."""
    canvas = Image.fromarray(_ground(example)).convert("RGBA")
    for prop in sorted(example.props, key=lambda prop: prop.y):
        art = Image.fromarray(sprite(prop.name, prop.style, prop.colour, side=round(prop.size * HEIGHT)))
        if prop.flip:
            art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        corner = (round(prop.x * WIDTH - art.width / 2), round(prop.y * HEIGHT - art.height / 2))
        canvas.alpha_composite(art, (max(0, corner[0]), max(0, corner[1])))
    return canvas.convert("RGB")


def _ground(example: Example) -> np.ndarray:
    """Sky and ground, each with a soft ramp and a little coarse noise, uint8 [HEIGHT, WIDTH, 3]."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None, None] / HEIGHT
    sky = np.array(example.sky, np.float32) + 42 * (rows - example.horizon)
    ground = np.array(example.ground, np.float32) - 34 * (rows - example.horizon)
    picture = np.broadcast_to(np.where(rows < example.horizon, sky, ground), (HEIGHT, WIDTH, 3))
    seed = np.random.default_rng(sum(example.file.encode()))
    coarse = Image.fromarray(seed.uniform(-5, 5, (9, 11)).astype(np.float32))
    noise = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))[..., None]
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def main() -> None:
    """Draw every example and write the index that the page reads."""
    parser = argparse.ArgumentParser(description="Draw the example scenes.")
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    index = []
    for example in EXAMPLES:
        draw(example).quantize(256, dither=Image.Dither.NONE).save(directory / example.file, optimize=True)
        index.append(
            {"file": example.file, "alt": example.alt, "skill": example.skill, "question": example.prompt}
        )
    (directory / "scenes.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
