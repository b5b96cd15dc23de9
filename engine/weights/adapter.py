"""An adapter file becomes an adapter on a device. Strict: it must fit the model, tensor by tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import ITEM_BYTES, Array, Stored
from dreamscope.engine.errors import AdapterInvalid, WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.base import Model, ModelConfig
from dreamscope.engine.models.lora import Adapter, ExpertLowRank, LowRank
from dreamscope.engine.models.moondream2 import adapter as moondream2
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3 import adapter as moondream3
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.text import Site
from dreamscope.engine.weights.forms import FLOATS
from dreamscope.engine.weights.safetensors_file import open_safetensors

ADAPTER_SUFFIXES = (".safetensors", ".pt")
Tensors = dict[str, tuple[NDArray[Any], Stored]]
Facts = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and stored form of every tensor of a file."""
T = TypeVar("T")


def load_adapter(path: Path, model: Model) -> Adapter:
    """Read a `.safetensors` or `.pt` file with the key names of the training or with canonical ones.

    Raises `AdapterInvalid` naming the tensor that is missing, unknown or of the wrong shape, or saying why
    the file cannot be read.
    """
    config = model.config
    try:
        tensors = _canonical(_read(path), config, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (WeightsInvalid, WeightsNotFound, OSError) as error:
        # The client learns what is wrong with the file, not where this machine keeps it.
        reason = str(error).replace(str(path), path.name)
        raise AdapterInvalid(f"The adapter cannot be read: {reason}", "model") from None
    problem = _problem({name: (raw.shape, stored) for name, (raw, stored) in tensors.items()}, config)
    if problem:
        raise AdapterInvalid(f"The adapter {path.name} does not fit this model: {problem}.", "model")
    device = model.device

    def get(name: str) -> Array:
        raw, stored = tensors[name]
        return device.weight(np.ascontiguousarray(raw), stored)

    def transposed(name: str) -> Array:
        raw, stored = tensors[name]
        return device.weight(np.ascontiguousarray(raw.T), stored)

    blocks: Sequence[Mapping[Site, LowRank | ExpertLowRank]]
    if isinstance(config, Moondream3Config):
        blocks = moondream3.build_blocks(config, tensors, get, transposed)
    else:
        assert isinstance(config, Moondream2Config)
        blocks = moondream2.build_blocks(config, transposed)
    numbers = sum(raw.size for raw, _ in tensors.values())
    return Adapter(digest, blocks, numbers * ITEM_BYTES[device.dtype])


def read_facts(path: Path) -> Facts:
    """What tells whether the file is an adapter of some model. Raises `AdapterInvalid` if it cannot be read.

    Of a `.safetensors` file only the header is read.
    """
    try:
        if path.suffix == ".safetensors":
            return {key: (tensor.shape, tensor.stored) for key, tensor in open_safetensors(path).items()}
        return {key: (raw.shape, stored) for key, (raw, stored) in _read(path).items()}
    except (WeightsInvalid, WeightsNotFound, OSError) as error:
        raise AdapterInvalid(f"The adapter cannot be read: {error}", "model") from None


def fits(facts: Facts, config: ModelConfig) -> bool:
    """Whether a file with these tensors is an adapter of such a model."""
    try:
        return _problem(_canonical(facts, config, Path()), config) is None
    except WeightsInvalid:  # a tensor is there twice
        return False


def _read(path: Path) -> Tensors:
    """The tensors of a file. Raises `WeightsInvalid`, or `OSError` of the file system."""
    if path.suffix == ".safetensors":
        stored = open_safetensors(path)
        return {key: (tensor.read(), cast(Stored, tensor.stored)) for key, tensor in stored.items()}
    if path.suffix == ".pt":
        # Only these files need torch, which another backend may live without.
        from dreamscope.engine.weights.torch_file import read_torch

        return read_torch(path)
    raise WeightsInvalid(f"{path} must end in {' or '.join(ADAPTER_SUFFIXES)}.")


def _canonical(raw: Mapping[str, T], config: ModelConfig, path: Path) -> dict[str, T]:
    """The tensors by canonical name. Raises `WeightsInvalid` if one is there twice."""
    tensors: dict[str, T] = {}
    for key, value in raw.items():
        if isinstance(config, Moondream3Config):
            name = moondream3.canonical_adapter_name(config, key)
            if name is None or name in tensors:  # the same tensors may stand below a second name
                continue
        else:
            name = moondream2.canonical_adapter_name(key)
        if name in tensors:
            raise WeightsInvalid(f"{path} holds {name} twice.")
        tensors[name] = value
    return tensors


def _problem(tensors: Facts, config: ModelConfig) -> str | None:
    """Why the tensors are no adapter of such a model; `None` if they are one."""
    for name, (_, stored) in tensors.items():
        if stored not in FLOATS:
            return f"{name} holds integers instead of floats"
    shapes = {name: shape for name, (shape, _) in tensors.items()}
    if isinstance(config, Moondream3Config):
        return moondream3.problem_of(shapes, config)
    assert isinstance(config, Moondream2Config)
    return _first_problem(shapes, config)


def _first_problem(found: Mapping[str, tuple[int, ...]], config: Moondream2Config) -> str | None:
    """A `[rank, in]` and B `[out, rank]` must be there for every block linear."""
    known: set[str] = set()
    for name, into, out in moondream2.adapted_linears(config):
        a, b = f"{name}.A", f"{name}.B"
        known |= {a, b}
        for key in (a, b):
            if key not in found:
                return f"it has no {key}; every linear of all {config.text.n_layers} layers needs A and B"
        shape_a, shape_b = found[a], found[b]
        if len(shape_a) != 2 or shape_a[0] < 1 or shape_a[1] != into:
            return f"{a} has the shape {list(shape_a)} instead of [rank, {into}]"
        if shape_b != (out, shape_a[0]):
            return f"{b} has the shape {list(shape_b)} instead of [{out}, {shape_a[0]}]"
    for name in found:
        if name not in known:
            layers = config.text.n_layers
            return f"it holds {name:.80}, which the model with its {layers} layers does not have"
    return None
