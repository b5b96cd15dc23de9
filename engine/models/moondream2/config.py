"""Sizes, token ids and prompt templates of Moondream 2. The defaults are the 2025-06-21 checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dreamscope.engine.errors import WeightsInvalid

Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The decoder."""

    dim: int = 2048
    ff_dim: int = 8192
    n_layers: int = 24
    vocab_size: int = 51200
    max_context: int = 2048
    n_heads: int = 32
    n_kv_heads: int = 32
    group_size: int | None = None

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads

    @property
    def rotary_dim(self) -> int:
        """How many leading dimensions of a head carry the position; the others pass through."""
        return self.head_dim // 2

    @property
    def qkv_dim(self) -> int:
        """Rows of the fused query, key and value projection."""
        return (self.n_heads + 2 * self.n_kv_heads) * self.head_dim


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The vision encoder, the tiling and the projection into the decoder."""

    enc_dim: int = 1152
    enc_patch_size: int = 14
    enc_n_layers: int = 27
    enc_ff_dim: int = 4304
    enc_n_heads: int = 16
    proj_out_dim: int = 2048
    crop_size: int = 378
    in_channels: int = 3
    max_crops: int = 12
    overlap_margin: int = 4
    proj_inner_dim: int = 8192

    @property
    def grid(self) -> int:
        """Patches along one side of a crop."""
        return self.crop_size // self.enc_patch_size

    @property
    def patch_dim(self) -> int:
        """Numbers in one patch, channel major."""
        return self.in_channels * self.enc_patch_size**2


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


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """Ids with a meaning, and the token sequences around a request."""

    bos_id: int = 0
    eos_id: int = 0
    answer_id: int = 3
    thinking_id: int = 4
    coord_id: int = 5
    size_id: int = 6
    start_ground_points_id: int = 7
    end_ground_id: int = 9
    caption: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {
            "short": (1, 32708, 2, 12492, 3),
            "normal": (1, 32708, 2, 6382, 3),
            "long": (1, 32708, 2, 4059, 3),
        }
    )
    query_prefix: tuple[int, ...] = (1, 15381, 2)
    query_suffix: tuple[int, ...] = (3,)
    detect_prefix: tuple[int, ...] = (1, 7235, 476, 2)
    detect_suffix: tuple[int, ...] = (3,)
    point_prefix: tuple[int, ...] = (1, 2581, 2)
    point_suffix: tuple[int, ...] = (3,)


@dataclass(frozen=True, slots=True)
class Moondream2Config:
    """All four groups."""

    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)

    @property
    def image_tokens(self) -> int:
        """Rows that one image contributes, whatever its tiling."""
        return self.vision.grid**2

    @property
    def prefix_len(self) -> int:
        """Positions of BOS and the image, which see each other in both directions."""
        return 1 + self.image_tokens

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Moondream2Config:
        """Build from the `config.json` form: up to four groups, each with any of its fields.

        A `config` entry that holds the groups is followed; what is missing keeps the checkpoint's value.
        Raises `WeightsInvalid` naming the field that is unknown, has the wrong type or does not fit.
        """
        groups = data["config"] if "config" in data and "text" not in data else data
        if not isinstance(groups, Mapping):
            raise WeightsInvalid("The model config must be an object with the groups text, vision, region.")
        text = dict(_entries(groups, "text"))
        text.pop("prefix_attn", None)  # follows from the vision sizes
        if "n_heads" in text and "n_kv_heads" not in text:
            text["n_kv_heads"] = text["n_heads"]
        config = cls(
            _group(TextConfig, text, "text"),
            _group(VisionConfig, _entries(groups, "vision"), "vision"),
            _group(RegionConfig, _entries(groups, "region"), "region"),
            _tokenizer(_entries(groups, "tokenizer")),
        )
        _check(config)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Inverse of `from_dict`, ready for `config.json`."""
        ids = dataclasses.asdict(self.tokenizer)
        templates = {"caption": {length: list(ids_) for length, ids_ in ids.pop("caption").items()}}
        for skill in ("query", "detect", "point"):
            templates[skill] = {part: list(ids.pop(f"{skill}_{part}")) for part in ("prefix", "suffix")}
        return {
            "text": dataclasses.asdict(self.text),
            "vision": dataclasses.asdict(self.vision),
            "region": dataclasses.asdict(self.region),
            "tokenizer": {**ids, "templates": templates},
        }


def _entries(groups: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    entries = groups.get(name) or {}
    if not isinstance(entries, Mapping):
        raise WeightsInvalid(f"The config group {name!r} must be an object.")
    return entries


def _group(cls: type[Group], entries: Mapping[str, Any], name: str) -> Group:
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in entries.items():
        if key not in known:
            raise WeightsInvalid(f"Unknown config field {name}.{key}; known are {', '.join(sorted(known))}.")
        if key == "group_size" and value is None:
            continue
        least = 0 if cls is TokenizerConfig or key == "overlap_margin" else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise WeightsInvalid(
                f"Config field {name}.{key} must be an integer of at least {least}, not {value!r}."
            )
    return cls(**entries)


def _tokenizer(entries: Mapping[str, Any]) -> TokenizerConfig:
    ids = {key: value for key, value in entries.items() if key != "templates"}
    for key in ids:
        if not key.endswith("_id"):
            raise WeightsInvalid(f"Unknown config field tokenizer.{key}.")
    templates = _entries(entries, "templates")
    fields: dict[str, Any] = {}
    for skill, template in templates.items():
        parts = template if isinstance(template, Mapping) else {}
        if skill == "caption":
            fields["caption"] = {
                length: _ids(ids_, f"caption.{length}") for length, ids_ in parts.items() if ids_ is not None
            }
        elif skill in ("query", "detect", "point"):
            for part in ("prefix", "suffix"):
                fields[f"{skill}_{part}"] = _ids(parts.get(part), f"{skill}.{part}")
        else:
            raise WeightsInvalid(
                f"Unknown prompt template {skill!r}; known are caption, query, detect, point."
            )
    checked = _group(TokenizerConfig, ids, "tokenizer")
    return dataclasses.replace(checked, **fields)


def _ids(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not all(type(item) is int and item >= 0 for item in value):
        raise WeightsInvalid(f"Prompt template {name} must be a list of token ids, not {value!r}.")
    return tuple(value)


def _check(config: Moondream2Config) -> None:
    """Sizes that must fit together; everything else is caught by the shapes of the tensors."""
    text, vision, region = config.text, config.vision, config.region
    rules = (
        (text.dim % text.n_heads == 0, "text.dim must be a multiple of text.n_heads"),
        (text.n_heads % text.n_kv_heads == 0, "text.n_heads must be a multiple of text.n_kv_heads"),
        (text.head_dim % 4 == 0, "text.dim / text.n_heads must be a multiple of 4"),
        (vision.enc_dim % vision.enc_n_heads == 0, "vision.enc_dim must be a multiple of vision.enc_n_heads"),
        (
            vision.crop_size % vision.enc_patch_size == 0,
            "vision.crop_size must be a multiple of vision.enc_patch_size",
        ),
        (
            vision.grid > 2 * vision.overlap_margin,
            "vision.overlap_margin must leave patches between its two sides",
        ),
        (vision.in_channels == 3, "vision.in_channels must be 3"),
        (vision.proj_out_dim == text.dim, "vision.proj_out_dim must equal text.dim"),
        (region.dim == text.dim, "region.dim must equal text.dim"),
        (region.coord_feat_dim % 2 == 0, "region.coord_feat_dim must be even"),
        (region.size_feat_dim % 2 == 0, "region.size_feat_dim must be even"),
        (region.size_out_dim % 2 == 0, "region.size_out_dim must be even"),
        (config.prefix_len < text.max_context, "text.max_context must be longer than the image prefix"),
    )
    for ok, rule in rules:
        if not ok:
            raise WeightsInvalid(f"The model config does not fit together: {rule}.")
