"""Packing scenes and pairs into the arrays of one training step.

Per image one shared prefix (BOS and patches) and several pairs behind it; a pair sees the prefix and itself
causally, and its positions restart at the end of the prefix. All images go through the vision encoder with
the dense labels, the first `text_batch` also through the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamscope.engine.sprite.conventions import MOONDREAM2
from dreamscope.engine.sprite.questions import Questioner
from dreamscope.engine.sprite.recipe import Recipe, at
from dreamscope.engine.sprite.scenes import Scene, SceneMaker
from dreamscope.engine.sprite.vocabulary import PairEncoder, Tokens, coord_bin, size_bin
from dreamscope.engine.sprite.world import COLOUR_WORDS


@dataclass(frozen=True, slots=True)
class PatchLabels:
    """Per patch: class (0 = background, else 1 + index), colour (-1 = none), box (cx, cy, w, h), its bins."""

    kind: Tensor  # int64 [B, P]
    colour: Tensor  # int64 [B, P]
    box: Tensor  # float32 [B, P, 4]
    bins: Tensor  # int64 [B, P, 4]


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays of one step. Lengths: P patches, A answer-side tokens, T images with text."""

    pixels: Tensor  # uint8 [B, side, side, 3]
    labels: PatchLabels
    ids: Tensor  # int64 [T, A]
    coords: Tensor  # int64 [T, A]
    extents: Tensor  # int64 [T, A, 2]
    weight: Tensor  # float32 [T, A], loss weight of predicting the NEXT token
    group: Tensor  # int64 [T, A], pair number, -1 for padding
    positions: Tensor  # int64 [T, A]


class Batcher:
    """Draws batches; batch `step` of process `rank` depends on nothing but the recipe and these numbers."""

    def __init__(self, recipe: Recipe, encoder: PairEncoder, rank: int) -> None:
        self._recipe = recipe
        self._encoder = encoder
        self._rank = rank
        self._maker = SceneMaker(recipe.stage(), recipe.seed + 1000 * rank)
        self._questioner = Questioner(recipe.classes, recipe.mix)

    def draw(self, step: int, seen: int) -> Batch:
        """The batch of one step."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, self._rank, step])
        most = at(recipe.curriculum, seen)
        scenes = [self._maker.make(rng, most) for _ in range(recipe.vision_batch)]
        rows = [self._row(rng, scene) for scene in scenes[: recipe.text_batch]]
        ids, coords, extents, weight, group, positions = (
            torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)
        )
        pixels = torch.from_numpy(np.stack([scene.pixels for scene in scenes]))
        steps = recipe.sizes.conventions.coord_steps
        labels = patch_labels(scenes, recipe.classes, recipe.sizes.patch, steps)
        return Batch(pixels, labels, ids, coords, extents, weight, group, positions)

    def _row(self, rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, ...]:
        """Fill one image's answer side with whole pairs."""
        room, prefix = self._recipe.answer_tokens, self._recipe.sizes.prefix
        ids, coords = np.zeros(room, np.int64), np.zeros(room, np.int64)
        extents, weight = np.zeros((room, 2), np.int64), np.zeros(room, np.float32)
        group, positions = np.full(room, -1, np.int64), np.zeros(room, np.int64)
        start, number, misses = 0, 0, 0
        while misses < 3:
            tokens = self._encoder(self._questioner.draw(rng, scene))
            end = start + len(tokens.ids)
            if end > room:
                misses += 1
                continue
            _write(ids, coords, extents, weight, slice(start, end), tokens)
            group[start:end], positions[start:end] = number, prefix + np.arange(end - start)
            start, number = end, number + 1
        return ids, coords, extents, weight, group, positions


def _write(
    ids: np.ndarray, coords: np.ndarray, extents: np.ndarray, weight: np.ndarray, where: slice, tokens: Tokens
) -> None:
    ids[where], coords[where], extents[where] = tokens.ids, tokens.value, tokens.size
    weight[where.start : where.stop - 1] = tokens.weight[1:]


def patch_labels(
    scenes: list[Scene], classes: tuple[str, ...], patch: int, coord_steps: int = MOONDREAM2.coord_steps
) -> PatchLabels:
    """A patch belongs to the object with most alpha in it, if the mean alpha there exceeds 0.3."""
    grid = scenes[0].pixels.shape[0] // patch
    index = {name: 1 + number for number, name in enumerate(classes)}
    shape = (len(scenes), grid * grid)
    kind, colour = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
    box, bins = np.zeros((*shape, 4), np.float32), np.zeros((*shape, 4), np.int64)
    for row, scene in enumerate(scenes):
        best = np.full(grid * grid, 0.3, np.float32)
        for item in scene.objects:
            share = _patch_alpha(item.alpha, item.origin, grid, patch).reshape(-1)
            mine = share > best
            best[mine] = share[mine]
            x0, y0, x1, y1 = item.box
            values = (*item.center, x1 - x0, y1 - y0)
            kind[row, mine] = index[item.name]
            colour[row, mine] = COLOUR_WORDS.index(item.colour) if item.painted and item.colour else -1
            box[row, mine] = values
            bins[row, mine] = (
                *(coord_bin(value, coord_steps) for value in values[:2]),
                *map(size_bin, values[2:]),
            )
    return PatchLabels(*(torch.from_numpy(array) for array in (kind, colour, box, bins)))


def _patch_alpha(alpha: np.ndarray, origin: tuple[int, int], grid: int, patch: int) -> np.ndarray:
    left, top = origin
    full = np.zeros((grid * patch, grid * patch), np.float32)
    full[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return full.reshape(grid, patch, grid, patch).mean((1, 3))


def patches(pixels: Tensor, patch: int, rounded: bool = True) -> Tensor:
    """uint8 [B, side, side, 3] → [B, grid², 3·patch²], channel major; bfloat16 if `rounded`, else float32."""
    scaled = pixels.to(torch.bfloat16 if rounded else torch.float32).div_(255).sub_(0.5).div_(0.5)
    batch, side, _, _ = pixels.shape
    grid = side // patch
    cut = scaled.view(batch, grid, patch, grid, patch, 3).permute(0, 1, 3, 5, 2, 4)
    return cut.reshape(batch, grid * grid, 3 * patch * patch)


def attention_bias(group: Tensor, prefix: int, dtype: torch.dtype) -> Tensor:
    """[T, L, L] additive mask: prefix sees prefix; a pair sees the prefix and itself causally."""
    rows, room = group.shape
    length = prefix + room
    allowed = torch.zeros(rows, length, length, dtype=torch.bool)
    allowed[:, :, :prefix] = True
    same = group[:, :, None] == group[:, None, :]
    allowed[:, prefix:, prefix:] = same & torch.ones(room, room, dtype=torch.bool).tril()
    return torch.zeros(rows, length, length, dtype=dtype).masked_fill_(~allowed, -1e4)
