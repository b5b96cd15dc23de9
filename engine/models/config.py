"""What the configs of the model families have in common: groups of sizes, token ids, prompt templates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dreamscope.engine.errors import WeightsInvalid

Group = TypeVar("Group")
Rule = tuple[bool, str]
"""Whether it holds, and what it says."""

_MAY_BE_ZERO = ("overlap_margin", "start_layer")
_TEMPLATES = ("query", "detect", "point", "segment")


@dataclass(frozen=True, slots=True)
class DecoderConfig:
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
class Rules:
    """How a family writes its answers: what training fixed and no config file states.

    The defaults are Moondream 2, whose published code masks ids and decides for itself where numbers go;
    Moondream 3 chooses its control ids freely, wherever they may stand.
    """

    doubled_opener: bool = True
    """Whether the query suffix stands once more before the opener of what comes first."""
    masks_control_ids: bool = True
    """Whether some ids are forbidden from the second decision on: the end and sizes while reasoning,
    another answer marker while answering. Without that, an end within the reasoning ends the request."""
    numbers_anywhere: bool = False
    """Whether a coordinate or size id in plain text gets its value, and sizes may occur in a reasoning."""
    samples_numbers: bool = False
    """Whether the bins of numbers are drawn with the temperature of the request, instead of the best one."""
    only_objects: bool = False
    """Whether point and detect choose between another coordinate and the end alone, and look for the end
    once more after the last permitted object."""
    counts_answer_marker: bool = False
    """Whether the id that ends a reasoning is a token of the budget."""
    gaze_as_point: bool = False
    """Whether gaze is asked for by pointing at it, the eye a reference, and not by a template of its own."""
    images_anywhere: bool = False
    """Whether a conversation may have several images, in any of its user messages."""


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
    segment_prefix: tuple[int, ...] = (1, 17374, 2)
    segment_suffix: tuple[int, ...] = (3,)
    rules: Rules = Rules()

    def query_opener(self, reasoning: bool) -> tuple[int, ...]:
        """What stands between the question and the first decision."""
        first = (self.thinking_id,) if reasoning else self.query_suffix
        return self.query_suffix + first if self.rules.doubled_opener else first

    def to_dict(self) -> dict[str, Any]:
        """The group as `config.json` has it, templates and all."""
        ids = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name.endswith("_id")}
        captions = {length: list(given) for length, given in self.caption.items()}
        templates: dict[str, Any] = {"caption": captions}
        for skill in _TEMPLATES:
            templates[skill] = {part: list(getattr(self, f"{skill}_{part}")) for part in ("prefix", "suffix")}
        return {**ids, "templates": templates}


@dataclass(frozen=True, slots=True)
class GroupedConfig:
    """What the configs of both families share; they have the fields text, vision, region, tokenizer."""

    @property
    def image_tokens(self) -> int:
        """Rows that one image contributes, whatever its tiling."""
        grid: int = self._group("vision").grid
        return grid**2

    @property
    def prefix_len(self) -> int:
        """Positions of BOS and the image, which see each other in both directions."""
        return 1 + self.image_tokens

    def to_dict(self) -> dict[str, Any]:
        """Inverse of `from_dict`, ready for `config.json`."""
        groups = {name: dataclasses.asdict(self._group(name)) for name in ("text", "vision", "region")}
        return {**groups, "tokenizer": self._group("tokenizer").to_dict()}

    def _group(self, name: str) -> Any:
        return getattr(self, name)


# ---------------------------------------------------------------------------------------------- reading


def groups_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that holds the groups: `data` itself or its entry `config`. Raises `WeightsInvalid`."""
    groups = data["config"] if "config" in data and "text" not in data else data
    if not isinstance(groups, Mapping):
        raise WeightsInvalid("The model config must be an object with the groups text, vision, region.")
    return groups


def entries(groups: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The fields of one group, none if it is absent. Raises `WeightsInvalid`."""
    found = groups.get(name) or {}
    if not isinstance(found, Mapping):
        raise WeightsInvalid(f"The config group {name!r} must be an object.")
    return found


def text_entries(groups: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the group `text`, without those that follow from others. Raises `WeightsInvalid`."""
    text = dict(entries(groups, "text"))
    text.pop("prefix_attn", None)  # follows from the vision sizes
    if "n_heads" in text:
        text.setdefault("n_kv_heads", text["n_heads"])
    return text


def group(cls: type[Group], values: Mapping[str, Any], name: str) -> Group:
    """A group of numbers and switches; absent fields keep their default.

    Raises `WeightsInvalid` naming the field that is unknown or has the wrong type.
    """
    kinds = {f.name: str(f.type) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in kinds:
            raise WeightsInvalid(f"Unknown config field {name}.{key}; known are {', '.join(sorted(kinds))}.")
        if kinds[key].endswith("| None") and value is None:
            continue
        wanted = _wanted(kinds[key], value, 0 if cls is TokenizerConfig or key in _MAY_BE_ZERO else 1)
        if wanted:
            raise WeightsInvalid(f"Config field {name}.{key} must be {wanted}, not {value!r}.")
    return cls(**values)


def _wanted(kind: str, value: Any, least: int) -> str | None:
    """What the field takes, or `None` if `value` is fine."""
    if kind.startswith("int"):
        return None if type(value) is int and value >= least else f"an integer of at least {least}"
    if kind.startswith("float"):
        return None if type(value) in (int, float) and value > 0 else "a positive number"
    if kind.startswith("bool"):
        return None if isinstance(value, bool) else "true or false"
    return None if isinstance(value, str) else "a string"


def tokenizer_group(values: Mapping[str, Any], rules: Rules) -> TokenizerConfig:
    """Ids and templates. Raises `WeightsInvalid` naming what does not fit."""
    ids = {key: value for key, value in values.items() if key != "templates"}
    for key in ids:
        if not key.endswith("_id"):
            raise WeightsInvalid(f"Unknown config field tokenizer.{key}.")
    fields: dict[str, Any] = {}
    for skill, template in entries(values, "templates").items():
        parts = template if isinstance(template, Mapping) else {}
        if skill == "caption":
            fields["caption"] = {
                length: _ids(given, f"caption.{length}")
                for length, given in parts.items()
                if given is not None
            }
        elif skill in _TEMPLATES:
            for part in ("prefix", "suffix"):
                fields[f"{skill}_{part}"] = _ids(parts.get(part), f"{skill}.{part}")
        else:
            raise WeightsInvalid(
                f"Unknown prompt template {skill!r}; known are caption, {', '.join(_TEMPLATES)}."
            )
    return dataclasses.replace(group(TokenizerConfig, ids, "tokenizer"), rules=rules, **fields)


def _ids(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not all(type(item) is int and item >= 0 for item in value):
        raise WeightsInvalid(f"Prompt template {name} must be a list of token ids, not {value!r}.")
    return tuple(value)


def require(rules: tuple[Rule, ...]) -> None:
    """Raises `WeightsInvalid` with the first rule that does not hold."""
    for holds, rule in rules:
        if not holds:
            raise WeightsInvalid(f"The model config does not fit together: {rule}.")


def size_rules(text: DecoderConfig, vision: VisionConfig) -> tuple[Rule, ...]:
    """Sizes that must fit together in every family; the rest is caught by the shapes of the tensors."""
    return (
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
        (1 + vision.grid**2 < text.max_context, "text.max_context must be longer than the image prefix"),
    )


def region_rules(dim: int, region: Any) -> tuple[Rule, ...]:
    """The same for the region model, whose fields differ by family beyond these."""
    return (
        (region.dim == dim, "region.dim must equal text.dim"),
        (region.coord_feat_dim % 2 == 0, "region.coord_feat_dim must be even"),
        (region.size_feat_dim % 2 == 0, "region.size_feat_dim must be even"),
        (region.size_out_dim % 2 == 0, "region.size_out_dim must be even"),
    )
