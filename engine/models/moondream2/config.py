"""Sizes, token ids and prompt templates of Moondream 2. The defaults are the 2025-06-21 checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamscope.engine.models.config import (
    DecoderConfig,
    GroupedConfig,
    Rules,
    entries,
    group,
    groups_of,
    region_rules,
    require,
    size_rules,
    text_entries,
    tokenizer_group,
)
from dreamscope.engine.models.config import TokenizerConfig as TokenizerConfig
from dreamscope.engine.models.config import VisionConfig as VisionConfig
from dreamscope.engine.models.rope import THETA


@dataclass(frozen=True, slots=True)
class TextConfig(DecoderConfig):
    """The decoder: a perceptron in every block, and plain attention."""

    @property
    def rope_theta(self) -> float:
        """Base of the rotary frequencies."""
        return THETA


@dataclass(frozen=True, slots=True)
class RegionConfig:
    """Encoders and decoders of coordinates and sizes."""

    dim: int = 2048
    coord_feat_dim: int = 256
    coord_out_dim: int = 1024
    size_feat_dim: int = 512
    size_out_dim: int = 2048
    inner_dim: int = 8192
    group_size: int | None = None

    @property
    def coord_steps(self) -> int:
        """A coordinate is its bin divided by this, so it never reaches 1."""
        return self.coord_out_dim


@dataclass(frozen=True, slots=True)
class Moondream2Config(GroupedConfig):
    """All four groups."""

    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)

    @property
    def rounds_pixels(self) -> bool:
        """Pixels are normalised in three steps of bfloat16: the checkpoint was trained on that."""
        return True

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Moondream2Config:
        """Build from the `config.json` form: up to four groups, each with any of its fields.

        A `config` entry that holds the groups is followed; what is missing keeps the checkpoint's value.
        Raises `WeightsInvalid` naming the field that is unknown, has the wrong type or does not fit.
        """
        groups = groups_of(data)
        config = cls(
            group(TextConfig, text_entries(groups), "text"),
            group(VisionConfig, entries(groups, "vision"), "vision"),
            group(RegionConfig, entries(groups, "region"), "region"),
            tokenizer_group(entries(groups, "tokenizer"), Rules()),
        )
        require(size_rules(config.text, config.vision))
        require(region_rules(config.text.dim, config.region))
        return config
