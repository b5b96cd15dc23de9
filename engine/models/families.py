"""The model families: what loading needs to know of each, beside what they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream2 import weights as weights2
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.moondream3 import weights as weights3
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.model import Moondream3
from dreamscope.engine.models.parts import GetTensor, ModelWeights, Shapes, StoredName

AnyConfig = Moondream2Config | Moondream3Config


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture. `fit` changes a config where a checkpoint, known by its names, leaves a part out."""

    name: str
    config: type[AnyConfig]
    model: type[Model]
    expected_shapes: Callable[[Any], Shapes]
    build_weights: Callable[[Any, GetTensor], ModelWeights]
    canonical_name: Callable[[str], StoredName | None]
    is_quantisable: Callable[[str], bool]
    fit: Callable[[Any, Collection[str]], Any]


def _as_it_is(config: Moondream2Config, names: Collection[str]) -> Moondream2Config:
    return config


def _without_region_norm(config: Moondream3Config, names: Collection[str]) -> Moondream3Config:
    """Early uploads have no norm before the region decoders."""
    if "region.ln.weight" in names or "region.ln.bias" in names:
        return config
    return dataclasses.replace(config, region=dataclasses.replace(config.region, use_ln=False))


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "moondream2": Family(
            "moondream2",
            Moondream2Config,
            Moondream2,
            weights2.expected_shapes,
            weights2.build_weights,
            weights2.canonical_name,
            weights2.is_quantisable,
            _as_it_is,
        ),
        "moondream3": Family(
            "moondream3",
            Moondream3Config,
            Moondream3,
            weights3.expected_shapes,
            weights3.build_weights,
            weights3.canonical_name,
            weights3.is_quantisable,
            _without_region_norm,
        ),
    }
)


def family_of(config: AnyConfig) -> Family:
    """The family that a config belongs to."""
    return next(family for family in FAMILIES.values() if isinstance(config, family.config))


def recognise(keys: Collection[str]) -> Family:
    """The family of a checkpoint by the names of its tensors: only Moondream 3 has experts or tau."""
    marks = (".router.", ".gate.", ".tau.", ".tau_")
    is3 = any(mark in key for key in keys for mark in marks)
    return FAMILIES["moondream3" if is3 else "moondream2"]
