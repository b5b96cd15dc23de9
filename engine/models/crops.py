"""An image to the crops that the vision encoder sees: numpy and Pillow only, any thread.

One crop shows the whole image; a grid of overlapping crops shows it in detail. Neighbouring crops share
`2 * overlap_margin` patches, of which the stitching keeps each patch once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class CropGeometry(Protocol):
    """What cutting needs to know of a vision config. Margins count patches."""

    @property
    def crop_size(self) -> int:
        """Pixels along one side of a crop."""

    @property
    def enc_patch_size(self) -> int:
        """Pixels along one side of a patch."""

    @property
    def grid(self) -> int:
        """Patches along one side of a crop."""

    @property
    def overlap_margin(self) -> int:
        """Patches that a crop shares with its neighbour, on each side."""

    @property
    def max_crops(self) -> int:
        """The most tiles, not counting the whole image."""


@dataclass(frozen=True, slots=True)
class Crops:
    """`pixels` uint8 `[1 + rows * cols, C, C, 3]`: the whole image, then the tiles row by row."""

    tiling: tuple[int, int]
    pixels: NDArray[np.uint8]


def cut_crops(rgb: NDArray[np.uint8], config: CropGeometry) -> Crops:
    """Resize and cut `rgb` `[H, W, 3]`. The aspect ratio is not preserved.

    Raises `ValueError` if the array is not a non-empty uint8 RGB image.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"An image is a non-empty uint8 array [H, W, 3], not {rgb.dtype} {rgb.shape}.")
    size = config.crop_size
    margin, window = _margin_and_window(config)
    rows, cols = select_tiling(rgb.shape[0] - margin, rgb.shape[1] - margin, window, config.max_crops)
    image = Image.fromarray(np.ascontiguousarray(rgb))
    whole = _resize(image, size, size)
    pixels = np.empty((1 + rows * cols, size, size, 3), np.uint8)
    pixels[0] = whole
    if (rows, cols) == (1, 1):
        pixels[1] = whole
        return Crops((1, 1), pixels)
    detail = _resize(image, rows * window + margin, cols * window + margin)
    for index in range(rows * cols):
        top, left = (index // cols) * window, (index % cols) * window
        pixels[1 + index] = detail[top : top + size, left : left + size]
    return Crops((rows, cols), pixels)


def select_tiling(height: int, width: int, window: int, max_crops: int) -> tuple[int, int]:
    """Rows and columns of the grid for an image of `height` x `width` pixels without its margins.

    An image with one side within the window gets a single tile. Otherwise the grid covers the image at its
    own scale if `max_crops` allows, and uses up to `max_crops` tiles in the image's proportions.
    """
    if height <= window or width <= window:
        return 1, 1
    least_rows, least_cols = math.ceil(height / window), math.ceil(width / window)
    if least_rows * least_cols > max_crops:
        shrink = math.sqrt(max_crops / (least_rows * least_cols))
        return max(1, math.floor(least_rows * shrink)), max(1, math.floor(least_cols * shrink))
    rows = max(math.floor(math.sqrt(max_crops * height / width)), least_rows)
    cols = max(math.floor(math.sqrt(max_crops * width / height)), least_cols)
    if rows * cols > max_crops:
        if cols > rows:
            cols = math.floor(max_crops / rows)
        else:
            rows = math.floor(max_crops / cols)
    return max(1, rows), max(1, cols)


def tiling_of(height: int, width: int, config: CropGeometry) -> tuple[int, int]:
    """Rows and columns for an image of `height` x `width` pixels."""
    margin, window = _margin_and_window(config)
    return select_tiling(height - margin, width - margin, window, config.max_crops)


def _margin_and_window(config: CropGeometry) -> tuple[int, int]:
    """Pixels of both margins together, and the step from one crop to the next."""
    margin = 2 * config.overlap_margin * config.enc_patch_size
    return margin, config.grid * config.enc_patch_size - margin


def _resize(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Lanczos, one axis after the other with 8-bit values in between.

    Which axis goes first changes pixels and differs between Pillow releases, so it is decided here, by the
    rule of Pillow 13.
    """
    vertical_first = image.height - height > 2 * max(0, image.width - width)
    halfway = (image.width, height) if vertical_first else (width, image.height)
    for size in (halfway, (width, height)):
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image)
