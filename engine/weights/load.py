"""A checkpoint becomes a model on a device. Strict: every tensor must be there and have its shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.moondream2.config import Moondream2Config, TokenizerConfig
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.moondream2.weights import build_weights, canonical_name, expected_shapes
from dreamscope.engine.models.registry import ModelSpec, find_model
from dreamscope.engine.models.tokenizer import MOONDREAM_MARKERS, Tokenizer
from dreamscope.engine.weights.hub import ModelFiles, locate
from dreamscope.engine.weights.memory import check_memory, memory_need
from dreamscope.engine.weights.progress import Progress, Report, silent
from dreamscope.engine.weights.safetensors_file import StoredTensor, open_safetensors


def load_model(source: ModelSpec | str | Path, device: Device, progress: Report | None = None) -> Moondream2:
    """Find, check and load a model: a spec, a known name, or the path of a checkpoint.

    Before reading it reports how much memory the model takes. Raises `ModelNotFound`, `WeightsNotFound`,
    `WeightsInvalid` or `NotEnoughMemory`, each with a sentence that says what to do.
    """
    spec = source if isinstance(source, ModelSpec) else find_model(str(source))
    report = progress or silent
    return load_files(locate(spec, report), device, report)


def load_files(files: ModelFiles, device: Device, report: Report = silent) -> Moondream2:
    """Load from known files, without looking anything up."""
    config = Moondream2Config.from_dict(files.config)
    need = memory_need(config, device.dtype)
    report(Progress("memory", f"The model needs {need} in {device.dtype} on {device.name}"))
    check_memory(need, device)
    real = config.tokenizer == TokenizerConfig()  # the published prompts need the published vocabulary
    tokenizer = Tokenizer.load(files.tokenizer, MOONDREAM_MARKERS if real else None)
    found = arrange(open_safetensors(files.weights), config, files.weights)
    total = sum(tensor.nbytes for tensor, _ in found.values())
    done = 0

    def read(name: str) -> Array:
        nonlocal done
        tensor, transposed = found[name]
        raw = tensor.read()
        array = device.weight(np.ascontiguousarray(raw.T) if transposed else raw, tensor.stored)
        done += tensor.nbytes
        report(Progress("read", f"Reading {files.weights.name}", done, total))
        return array

    return Moondream2(config, device, build_weights(config, read), tokenizer)


def arrange(
    stored: Mapping[str, StoredTensor], config: Moondream2Config, source: Path
) -> dict[str, tuple[StoredTensor, bool]]:
    """The tensor for every name the model needs, and whether the file holds it transposed.

    Accepts the current and the legacy layout. Raises `WeightsInvalid` naming the key that is missing, that
    occurs twice, or whose shape is wrong. Keys that are no parameters of the model are ignored.
    """
    expected = expected_shapes(config)
    found: dict[str, tuple[StoredTensor, bool]] = {}
    for key, tensor in stored.items():
        place = canonical_name(key)
        if place is None or place.name not in expected:
            continue
        if place.name in found:
            raise WeightsInvalid(f"{source} holds {place.name} twice: {found[place.name][0].name} and {key}.")
        shape = tensor.shape[::-1] if place.transposed else tensor.shape
        if shape != expected[place.name]:
            raise WeightsInvalid(
                f"{source}: {key} has the shape {list(tensor.shape)}, "
                f"but the config asks for {list(expected[place.name])} as {place.name}."
            )
        found[place.name] = (tensor, place.transposed)
    missing = [name for name in expected if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsInvalid(f"{source} lacks {missing[0]}{more}.{_hint(stored, missing[0])}")
    return found


def _hint(stored: Mapping[str, StoredTensor], missing: str) -> str:
    if any(key.endswith(f"{missing.removesuffix('.weight')}.weight.packed") for key in stored):
        return " The file is quantised to int4, which this version does not read."
    return ""
