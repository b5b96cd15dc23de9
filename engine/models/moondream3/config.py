"""Sizes, token ids and prompt templates of Moondream 3. The defaults are the checkpoints preview and 3.1."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamscope.engine.models.config import (
    DecoderConfig,
    GroupedConfig,
    Rules,
    TokenizerConfig,
    VisionConfig,
    entries,
    group,
    groups_of,
    region_rules,
    require,
    size_rules,
    text_entries,
    tokenizer_group,
)

RULES = Rules(
    doubled_opener=False,
    masks_control_ids=False,
    numbers_anywhere=True,
    samples_numbers=True,
    only_objects=True,
    counts_answer_marker=True,
    gaze_as_point=True,
    images_anywhere=True,
)
_OTHER_SPELLINGS = {"n_experts": "num_experts", "n_experts_per_tok": "experts_per_token"}


@dataclass(frozen=True, slots=True)
class MoeConfig:
    """The mixture of experts in the blocks from `start_layer` on."""

    num_experts: int = 64
    start_layer: int = 4
    experts_per_token: int = 8
    expert_inner_dim: int = 1024


@dataclass(frozen=True, slots=True)
class TextConfig(DecoderConfig):
    """The decoder. `tau_gelu` is `erf` or `tanh`: the GELU inside tau, on which references differ."""

    max_context: int = 32768
    rope_theta: float = 1_500_000.0
    tau_attn: bool = True
    tau_gelu: str = "erf"
    moe: MoeConfig | None = field(default_factory=MoeConfig)

    def experts_in(self, layer: int) -> MoeConfig | None:
        """The mixture in this block, `None` if it has a plain perceptron."""
        return self.moe if self.moe is not None and layer >= self.moe.start_layer else None


@dataclass(frozen=True, slots=True)
class RegionConfig:
    """Encoders and decoders of coordinates and sizes. `use_ln`: whether a norm stands before the decoders."""

    dim: int = 2048
    coord_feat_dim: int = 256
    coord_out_dim: int = 1024
    size_feat_dim: int = 512
    size_out_dim: int = 2048
    decoder_arch: str = "linear"
    use_ln: bool = True

    @property
    def coord_steps(self) -> int:
        """A coordinate is its bin divided by this: the last bin is the edge of the image."""
        return self.coord_out_dim - 1


@dataclass(frozen=True, slots=True)
class Moondream3Config(GroupedConfig):
    """All four groups."""

    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(rules=RULES))

    @property
    def rounds_pixels(self) -> bool:
        """Pixels are normalised exactly."""
        return False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Moondream3Config:
        """Build from the `config.json` form: up to four groups, each with any of its fields.

        A `config` entry that holds the groups is followed; what is missing keeps the checkpoint's value.
        Raises `WeightsInvalid` naming the field that is unknown, has the wrong type or does not fit.
        """
        groups = groups_of(data)
        text = text_entries(groups)
        moe = {_OTHER_SPELLINGS.get(key, key): value for key, value in entries(text, "moe").items()}
        mixture = None if "moe" in text and text["moe"] is None else group(MoeConfig, moe, "text.moe")
        text.pop("moe", None)
        config = cls(
            dataclasses.replace(group(TextConfig, text, "text"), moe=mixture),
            group(VisionConfig, entries(groups, "vision"), "vision"),
            group(RegionConfig, entries(groups, "region"), "region"),
            tokenizer_group(entries(groups, "tokenizer"), RULES),
        )
        require(size_rules(config.text, config.vision))
        require(region_rules(config.text.dim, config.region))
        require(_rules(config))
        return config


def _rules(config: Moondream3Config) -> tuple[tuple[bool, str], ...]:
    t, moe = config.text, config.text.moe
    return (
        (
            not t.tau_attn or t.n_heads == t.n_kv_heads,
            "text.n_kv_heads must equal text.n_heads with tau_attn",
        ),
        (t.tau_gelu in ("erf", "tanh"), "text.tau_gelu must be erf or tanh"),
        (
            moe is None or moe.experts_per_token <= moe.num_experts,
            "text.moe.experts_per_token must be at most text.moe.num_experts",
        ),
        (config.region.decoder_arch == "linear", "region.decoder_arch must be linear"),
        (config.region.coord_out_dim > 1, "region.coord_out_dim must be at least 2"),
    )
