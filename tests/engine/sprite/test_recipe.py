from __future__ import annotations

import dataclasses

import pytest

from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.sprite.conventions import MOONDREAM2, MOONDREAM3, Conventions
from dreamscope.engine.sprite.recipe import (
    ROPE_THETA,
    SPRITE_2,
    SPRITE_3,
    SPRITE_3_OUTLINES,
    Recipe,
    Sizes,
    at,
)
from dreamscope.engine.sprite.world import BY_NAME, KINDS, cell_name, with_article


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(images=100_000, warmup=1_000, decay=0.4, floor=0.02)
    assert 0 < recipe.rate(0) < 0.1
    assert recipe.rate(500) == pytest.approx(0.54)
    assert recipe.rate(1_000) == recipe.rate(59_999) == 1.0
    assert recipe.rate(80_000) == pytest.approx(0.51)
    assert recipe.rate(100_000) == recipe.rate(200_000) == pytest.approx(0.02)
    rates = [recipe.rate(seen) for seen in range(60_000, 100_001, 500)]
    assert rates == sorted(rates, reverse=True)


def test_more_images_change_nothing_before_the_decay() -> None:
    """Why `--images` may be changed while the rate is constant."""
    short, long = Recipe(images=100_000), Recipe(images=200_000)
    begin = int(short.images * (1 - short.decay))
    assert all(short.rate(seen) == long.rate(seen) for seen in range(0, begin, 500))


def test_the_last_steps_use_the_architectures_gelu() -> None:
    recipe = Recipe(images=1_000, tanh_share=0.05)
    assert not recipe.tanh(949)
    assert recipe.tanh(950)


def test_step_tables() -> None:
    table = ((0, "a"), (10, "b"), (20, "c"))
    assert [at(table, seen) for seen in (0, 9, 10, 19, 20, 999)] == ["a", "a", "b", "b", "c", "c"]


def test_the_config_is_one_the_engine_reads() -> None:
    sizes = Sizes()
    config = Moondream2Config.from_dict(sizes.config({}))
    assert config.prefix_len == sizes.prefix == 101
    assert config.vision.grid == sizes.grid == 10
    assert config.vision.max_crops == 1  # training sees one crop
    assert config.region.size_out_dim == 2 * config.region.coord_out_dim == 2048
    assert config.text.rotary_dim == sizes.dim // sizes.heads // 2


def test_the_config_of_sprite_3_is_one_the_engine_reads() -> None:
    sizes = SPRITE_3.sizes
    config = Moondream3Config.from_dict(sizes.config({}))
    assert config.text.moe is not None
    assert sizes.mixture is not None
    assert dataclasses.asdict(config.text.moe) == {
        "num_experts": sizes.mixture.experts,
        "start_layer": sizes.mixture.start,
        "experts_per_token": sizes.mixture.active,
        "expert_inner_dim": sizes.mixture.inner,
    }
    dense = Moondream2Config.from_dict(SPRITE_2.sizes.config({}))
    assert config.text.rope_theta == ROPE_THETA == dense.text.rope_theta
    assert config.region.use_ln
    assert [sizes.is_mixed(layer) for layer in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("conventions", "config"), [(MOONDREAM2, Moondream2Config()), (MOONDREAM3, Moondream3Config())]
)
def test_the_conventions_are_those_of_the_engine(
    conventions: Conventions, config: Moondream2Config | Moondream3Config
) -> None:
    ids = config.tokenizer
    assert conventions.direct == ids.query_opener(False)
    assert conventions.reasoned == ids.query_opener(True)
    assert conventions.coord_steps == config.region.coord_steps
    assert conventions.rounds_pixels == config.rounds_pixels


def test_sprite_3_starts_from_sprite_2() -> None:
    """What the warm start takes over has to fit."""
    assert SPRITE_3.classes == SPRITE_2.classes
    assert (SPRITE_3.sizes.crop, SPRITE_3.sizes.dim) == (SPRITE_2.sizes.crop, SPRITE_2.sizes.dim)
    assert SPRITE_3.seed != SPRITE_2.seed


def test_the_outlines_go_on_with_sprite_3() -> None:
    """Same weights, other scenes, and a rate that falls from the first image on."""
    later = SPRITE_3_OUTLINES
    assert later.sizes == SPRITE_3.sizes
    assert later.seed not in (SPRITE_2.seed, SPRITE_3.seed)
    assert later.mix.tasks["segment"] > SPRITE_3.mix.tasks["segment"]
    assert later.muon_rate < SPRITE_3.muon_rate
    assert later.rate(2_000) > later.rate(20_000) > later.rate(later.images)


def test_the_stage_is_that_of_the_recipe() -> None:
    recipe = dataclasses.replace(Recipe(), classes=("dog", "cat"), most=3)
    assert recipe.stage().side == recipe.sizes.crop
    assert recipe.stage().classes == ("dog", "cat")
    assert recipe.stage().most == 3
    assert recipe.curriculum[0][0] == recipe.sigmas[0][0] == recipe.dense[0][0] == 0


def test_words() -> None:
    assert len(BY_NAME) == len(KINDS) == 55
    plurals = {kind.name: kind.plural for kind in KINDS}
    assert (plurals["fox"], plurals["butterfly"], plurals["fish"], plurals["dog"]) == (
        "foxes",
        "butterflies",
        "fish",
        "dogs",
    )
    assert BY_NAME["whale"].emoji == "spouting-whale"
    assert BY_NAME["car"].recolour
    assert not BY_NAME["dog"].recolour
    assert (BY_NAME["pig"].colour, BY_NAME["cow"].colour) == ("pink", None)
    assert (with_article("orange car"), with_article("dog")) == ("an orange car", "a dog")


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        (0.1, 0.1, "top left"),
        (0.5, 0.1, "top"),
        (0.9, 0.1, "top right"),
        (0.1, 0.5, "left"),
        (0.5, 0.5, "center"),
        (0.9, 0.5, "right"),
        (0.1, 0.9, "bottom left"),
        (0.5, 0.9, "bottom"),
        (0.64, 0.64, "bottom right"),
        (0.36, 0.35, "top"),
    ],
)
def test_cells(x: float, y: float, name: str) -> None:
    assert cell_name(x, y) == name
