"""A golden set on disk: inputs, expected values, and the tiny model they belong to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open

from dreamscope.engine.devices.base import Device
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.base import Model
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

FAMILIES = ("moondream2", "moondream3")
ENCODER_TOLERANCE = 5e-5
DECODER_TOLERANCE = 5e-4


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """`data` is `golden.json`; tensors are read when asked for."""

    folder: Path
    data: dict[str, Any]
    names: frozenset[str]

    def tensor(self, name: str) -> NDArray[Any]:
        """An expected tensor."""
        with safe_open(self.folder / tensors_file(self.data), "np") as file:
            expected: NDArray[Any] = file.get_tensor(name)
        return expected

    def rgb(self, image: str | int) -> NDArray[np.uint8]:
        """An input image as RGB; alpha is dropped."""
        with Image.open(self.folder / self.data["images"][image]["file"]) as picture:
            return np.asarray(picture.convert("RGB"))


def tensors_file(data: dict[str, Any]) -> str:
    """Name of the file of expected tensors."""
    return str(data.get("files", {}).get("tensors", "tensors.safetensors"))


def open_golden(folder: str | Path) -> GoldenSet:
    """Raises `WeightsNotFound` or `WeightsInvalid` if `folder` is no golden set of a known model family."""
    path = Path(folder)
    index = path / "golden.json"
    if not index.is_file():
        raise WeightsNotFound(f"{path} is not a golden set: it has no golden.json.")
    data = json.loads(index.read_text(encoding="utf-8"))
    if data.get("model") not in FAMILIES:
        raise WeightsInvalid(
            f"{path} is a golden set of {data.get('model')!r}; this build checks {' and '.join(FAMILIES)}."
        )
    with safe_open(path / tensors_file(data), "np") as file:
        names = frozenset(file.keys())
    return GoldenSet(path, data, names)


def load_golden_model(golden: GoldenSet, device: Device) -> Model:
    """The model of the set, by the same path that loads a checkpoint."""
    files = golden.data["files"]
    return load_files(
        ModelFiles(
            golden.folder / files["weights"],
            golden.folder / files["tokenizer"],
            {"config": golden.data["config"]},
        ),
        device,
    )
