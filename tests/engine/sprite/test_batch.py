from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dreamscope.engine.models.vision import cut_patches, normalisation_table
from dreamscope.engine.sprite.batch import Batch, Batcher, attention_bias, patch_labels, patches
from dreamscope.engine.sprite.recipe import Recipe
from dreamscope.engine.sprite.scenes import Scene, SceneMaker
from dreamscope.engine.sprite.vocabulary import ANSWER, COORD, EOS, SIZE, PairEncoder, coord_bin, size_bin
from dreamscope.engine.sprite.world import COLOUR_WORDS, FIRST_LIGHT


@pytest.fixture(scope="module")
def recipe(recipe: Recipe) -> Recipe:
    """More pictures, so that every task occurs."""
    return dataclasses.replace(recipe, vision_batch=9, text_batch=8)


@pytest.fixture(scope="module")
def batcher(recipe: Recipe, encoder: PairEncoder) -> Batcher:
    return Batcher(recipe, encoder, rank=0)


@pytest.fixture(scope="module")
def batch(batcher: Batcher) -> Batch:
    return batcher.draw(5, 0)


def _equal(one: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("pixels", "ids", "coords", "extents", "weight", "group", "positions")
    )


def test_shapes(batch: Batch, recipe: Recipe) -> None:
    images, texts, room = recipe.vision_batch, recipe.text_batch, recipe.answer_tokens
    assert batch.pixels.shape == (images, recipe.sizes.crop, recipe.sizes.crop, 3)
    assert batch.labels.kind.shape == batch.labels.colour.shape == (images, recipe.sizes.grid**2)
    assert batch.labels.box.shape == batch.labels.bins.shape == (images, recipe.sizes.grid**2, 4)
    for column in (batch.ids, batch.coords, batch.weight, batch.group, batch.positions):
        assert column.shape == (texts, room)
    assert batch.extents.shape == (texts, room, 2)


def test_pairs_are_whole_and_their_positions_restart(batch: Batch, recipe: Recipe) -> None:
    for ids, group, positions, weight in zip(
        batch.ids, batch.group, batch.positions, batch.weight, strict=True
    ):
        used = int((group >= 0).sum())
        assert used > recipe.answer_tokens // 2
        assert (group[used:] == -1).all()
        assert (weight[used:] == 0).all()
        assert group[:used].tolist() == sorted(group[:used].tolist())
        for number in range(int(group.max()) + 1):
            pair = torch.nonzero(group == number).flatten()
            assert positions[pair].tolist() == list(
                range(recipe.sizes.prefix, recipe.sizes.prefix + len(pair))
            )
            assert ids[pair[0]] == 1
            assert ids[pair[-1]] == EOS
            assert weight[pair[-1]] == 0  # the end of one pair does not predict the start of the next
            assert weight[pair[-2]] == 1  # the end itself is predicted


def test_what_follows_the_prompt_is_learned_and_the_prompt_is_not(batch: Batch) -> None:
    """The prompt ends with its last 3 (4 with reasoning) before the first learned token."""
    for ids, group, weight in zip(batch.ids, batch.group, batch.weight, strict=True):
        for number in range(int(group.max()) + 1):
            pair = group == number
            tokens, learned = ids[pair].tolist(), (weight[pair] > 0).tolist()
            first = learned.index(True)
            assert tokens[first] in (ANSWER, 4)
            assert ANSWER not in tokens[:first] or tokens[first - 1] == ANSWER
            assert all(learned[first:-1])


def test_numbers_stand_at_their_markers(batch: Batch) -> None:
    assert (batch.coords[batch.ids != COORD] == 0).all()
    assert (batch.extents[batch.ids != SIZE] == 0).all()
    assert batch.coords[batch.ids == COORD].float().std() > 50
    assert (batch.ids == SIZE).any()
    assert (batch.extents[batch.ids == SIZE] > 400).all()  # no sprite is smaller than a sixteenth


def test_a_batch_depends_on_recipe_rank_and_step_alone(
    recipe: Recipe, encoder: PairEncoder, batch: Batch
) -> None:
    fresh = Batcher(recipe, encoder, rank=0)
    fresh.draw(3, 0)  # what was drawn before does not matter
    assert _equal(fresh.draw(5, 0), batch)
    assert not _equal(fresh.draw(6, 0), batch)
    assert not _equal(Batcher(recipe, encoder, rank=1).draw(5, 0), batch)
    other = dataclasses.replace(recipe, seed=recipe.seed + 1)
    assert not _equal(Batcher(other, encoder, rank=0).draw(5, 0), batch)


def test_the_curriculum_limits_the_objects(recipe: Recipe, encoder: PairEncoder) -> None:
    stepped = dataclasses.replace(recipe, curriculum=((0, 1), (100, 6)), vision_batch=12, text_batch=1)
    batcher = Batcher(stepped, encoder, rank=0)

    def most(seen: int) -> int:
        labels = batcher.draw(0, seen).labels
        return max(
            len(boxes[kinds > 0].unique(dim=0)) for boxes, kinds in zip(labels.box, labels.kind, strict=True)
        )

    assert most(99) == 1
    assert most(100) > 2


def test_attention_bias() -> None:
    group = torch.tensor([[0, 0, 1, 1, 1, -1], [0, 1, 1, 2, -1, -1]])
    prefix = 3
    bias = attention_bias(group, prefix, torch.float32)
    for row in range(2):
        for query in range(9):
            for key in range(9):
                allowed = key < prefix
                if query >= prefix and key >= prefix:
                    pair = group[row, query - prefix] == group[row, key - prefix]
                    allowed = bool(pair) and key <= query
                assert bias[row, query, key] == (0 if allowed else -1e4), (row, query, key)
    assert attention_bias(group, prefix, torch.bfloat16).exp().unique().tolist() == [0.0, 1.0]


def test_patches_are_cut_and_scaled_as_in_the_engine() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), np.uint8)
    mine = patches(torch.from_numpy(pixels), 14)
    assert mine.dtype == torch.bfloat16
    np.testing.assert_array_equal(mine.float().numpy(), normalisation_table()[cut_patches(pixels, 14)])


def _owner(scene: Scene, row: int, column: int, patch: int) -> int | None:
    """The object with most alpha in one patch, counted pixel by pixel."""
    shares = []
    for index, item in enumerate(scene.objects):
        left, top = item.origin
        total = 0.0
        for y in range(row * patch, (row + 1) * patch):
            for x in range(column * patch, (column + 1) * patch):
                if 0 <= y - top < item.alpha.shape[0] and 0 <= x - left < item.alpha.shape[1]:
                    total += float(item.alpha[y - top, x - left])
        shares.append((total / patch**2, index))
    best = max(shares, default=(0.0, 0), key=lambda share: share[0])
    return best[1] if best[0] > 0.3 else None


def test_patch_labels_agree_with_the_alpha(maker: SceneMaker) -> None:
    scenes = [maker.make(np.random.default_rng(seed)) for seed in range(5)]
    patch = 12
    grid = scenes[0].pixels.shape[0] // patch
    labels = patch_labels(scenes, FIRST_LIGHT, patch)
    seen = set()
    for number, scene in enumerate(scenes):
        for at in range(grid**2):
            owner = _owner(scene, at // grid, at % grid, patch)
            seen.add(owner is None)
            if owner is None:
                assert labels.kind[number, at] == 0
                assert labels.colour[number, at] == -1
                continue
            item = scene.objects[owner]
            x0, y0, x1, y1 = item.box
            box = (*item.center, x1 - x0, y1 - y0)
            assert FIRST_LIGHT[int(labels.kind[number, at]) - 1] == item.name
            colour = int(labels.colour[number, at])
            assert (COLOUR_WORDS[colour] if colour >= 0 else None) == (item.colour if item.painted else None)
            assert labels.box[number, at].tolist() == pytest.approx(box)
            bins = [coord_bin(box[0]), coord_bin(box[1]), size_bin(box[2]), size_bin(box[3])]
            assert labels.bins[number, at].tolist() == bins
    assert seen == {True, False}


def test_labels_lie_under_the_masks(maker: SceneMaker) -> None:
    """At the scene's own resolution every labelled pixel is one of the object's mask."""
    scene = next(s for s in (maker.make(np.random.default_rng(i)) for i in range(50)) if len(s.objects) == 1)
    labelled = patch_labels([scene], FIRST_LIGHT, 1).kind.view(scene.pixels.shape[:2]).numpy() > 0
    assert (labelled >= scene.mask(0)).all()
    assert scene.mask(0).sum() > 0.9 * labelled.sum()
