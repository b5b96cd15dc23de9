"""The recipe of a Sprite: sizes, world, schedule. Everything that decides what comes out of training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from dreamscope.engine.sprite.conventions import MOONDREAM2, MOONDREAM3, Conventions
from dreamscope.engine.sprite.mix import FIRST_MIX, OUTLINE_MIX, SEGMENT_MIX, Mix
from dreamscope.engine.sprite.scenes import Stage
from dreamscope.engine.sprite.vocabulary import DRAWN
from dreamscope.engine.sprite.world import FIRST_LIGHT

ROPE_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """The mixture of experts in the text blocks from `start` on."""

    experts: int = 8
    active: int = 2
    inner: int = 256
    start: int = 2


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and depths; the other numbers of the config follow from them."""

    crop: int = 140
    patch: int = 14
    vision_dim: int = 128
    vision_layers: int = 5
    vision_heads: int = 2
    projection: int = 384
    dim: int = 192
    layers: int = 4
    heads: int = 3
    region_inner: int = 256
    coord_features: int = 128
    size_features: int = 128
    vocabulary: int = 1024
    context: int = 1024
    mixture: Mixture | None = None  # with one the architecture is Moondream 3, without Moondream 2

    @property
    def conventions(self) -> Conventions:
        """Those of the model family that these sizes describe."""
        return MOONDREAM2 if self.mixture is None else MOONDREAM3

    def is_mixed(self, layer: int) -> bool:
        """Whether this text block has experts in the place of its perceptron."""
        return self.mixture is not None and layer >= self.mixture.start

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.crop // self.patch

    @property
    def prefix(self) -> int:
        """BOS and image positions."""
        return 1 + self.grid**2

    def config(self, templates: dict[str, object]) -> dict[str, Any]:
        """The model's `config.json`: the four groups of the family."""
        text: dict[str, Any] = {
            "dim": self.dim, "ff_dim": 4 * self.dim, "n_layers": self.layers, "vocab_size": self.vocabulary,
            "max_context": self.context, "n_heads": self.heads, "n_kv_heads": self.heads,
            "prefix_attn": self.prefix, "group_size": None,
        }  # fmt: skip
        vision = {
            "enc_dim": self.vision_dim, "enc_patch_size": self.patch, "enc_n_layers": self.vision_layers,
            "enc_ff_dim": 4 * self.vision_dim, "enc_n_heads": self.vision_heads, "proj_out_dim": self.dim,
            "crop_size": self.crop, "in_channels": 3, "max_crops": 1, "overlap_margin": 2,
            "proj_inner_dim": self.projection,
        }  # fmt: skip
        region: dict[str, Any] = {
            "dim": self.dim, "coord_feat_dim": self.coord_features, "coord_out_dim": 1024,
            "size_feat_dim": self.size_features, "size_out_dim": 2048, "inner_dim": self.region_inner,
            "group_size": None,
        }  # fmt: skip
        if self.mixture is not None:
            mixture = {
                "num_experts": self.mixture.experts, "start_layer": self.mixture.start,
                "experts_per_token": self.mixture.active, "expert_inner_dim": self.mixture.inner,
            }  # fmt: skip
            text |= {"rope_theta": ROPE_THETA, "tau_attn": True, "moe": mixture}
            region = {key: region[key] for key in region if key not in ("inner_dim", "group_size")}
            region |= {"decoder_arch": "linear", "use_ln": True}
        tokenizer = {
            "bos_id": 0, "eos_id": 0, "answer_id": 3, "thinking_id": 4, "coord_id": 5, "size_id": 6,
            "start_ground_points_id": 7, "end_ground_id": 9, "templates": templates,
        }  # fmt: skip
        return {"text": text, "vision": vision, "region": region, "tokenizer": tokenizer}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run. Rates and limits follow the images seen by all processes, never the clock."""

    sizes: Sizes = field(default_factory=Sizes)
    classes: tuple[str, ...] = FIRST_LIGHT
    mix: Mix = FIRST_MIX
    most: int = 6
    seed: int = 20
    processes: int = 2
    vision_batch: int = 20
    text_batch: int = 14
    answer_tokens: int = 128
    images: int = 320_000
    decay: float = 0.52  # share of the images over which the rate falls
    floor: float = 0.02
    warmup: int = 1_600
    curriculum: tuple[tuple[int, int], ...] = ((0, 2), (20_000, 3), (45_000, 6))  # images seen → most objects
    sigmas: tuple[tuple[int, float], ...] = ((0, 14.0), (15_000, 8.0), (60_000, 4.0), (140_000, 3.0))
    dense: tuple[tuple[int, float], ...] = ((0, 0.5), (80_000, 0.25))
    average_every: int = 8
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    drawn: float = DRAWN  # loss weight of a token of a path
    tanh_share: float = 0.05  # share at the end that computes the architecture's tanh GELU

    def stage(self) -> Stage:
        """The scenes of this recipe."""
        return Stage(side=self.sizes.crop, classes=self.classes, most=self.most)

    def rate(self, seen: int) -> float:
        """Factor on the learning rates after `seen` images."""
        rise = min(1.0, (seen + 40) / self.warmup)
        start = self.images * (1 - self.decay)
        fall = 1.0 if seen < start else max(0.0, (self.images - seen) / (self.images - start))
        return rise * (self.floor + (1 - self.floor) * fall)

    def tanh(self, seen: int) -> bool:
        """Whether this step uses the tanh form of GELU; the erf form is five times faster in torch on CPU."""
        return seen >= self.images * (1 - self.tanh_share)


SPRITE_2 = Recipe()
SPRITE_3 = Recipe(
    # 47 path numbers that the tokenizer of Sprite 2 cuts in two became tokens; one row is spare.
    sizes=Sizes(vocabulary=1072, mixture=Mixture()),
    mix=SEGMENT_MIX,
    seed=30,
    answer_tokens=160,
    images=160_000,
    decay=0.62,
    warmup=3_000,
    curriculum=((0, 6),),
    sigmas=((0, 6.0), (30_000, 4.0), (80_000, 3.0)),
    dense=((0, 0.25),),
)
"""Meant to start from the weights of a Sprite 2 whose rate has not fallen yet."""

SPRITE_3_OUTLINES = replace(
    SPRITE_3,
    mix=OUTLINE_MIX,
    seed=31,
    drawn=1.0,
    images=56_000,
    decay=1.0,
    warmup=1_200,
    sigmas=((0, 3.0),),
    muon_rate=0.3 * SPRITE_3.muon_rate,
    adam_rate=0.3 * SPRITE_3.adam_rate,
)
"""Goes on from the end of Sprite 3's run at a third of its rate: paths were what it knew least."""

SPRITE_3_FINISH = replace(
    SPRITE_3_OUTLINES,
    seed=33,
    images=110_000,
    decay=0.85,
    muon_rate=0.5 * SPRITE_3.muon_rate,
    adam_rate=0.5 * SPRITE_3.adam_rate,
)
"""The same again from there, longer and from a higher rate."""

SPRITES = {
    "sprite-2": SPRITE_2,
    "sprite-3": SPRITE_3,
    "sprite-3-outlines": SPRITE_3_OUTLINES,
    "sprite-3-finish": SPRITE_3_FINISH,
}


def at(table: tuple[tuple[int, Any], ...], seen: int) -> Any:
    """Value of a step table: the last row whose threshold is reached."""
    return [value for threshold, value in table if seen >= threshold][-1]
