"""Reads the tensors of a file written by `torch.save`, without running anything that is in it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Stored
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound

WRAPPER = "lora_state_dict"
_STORED: dict[torch.dtype, Stored] = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_DAMAGED = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError, TypeError)
_BROKEN = (*_DAMAGED, pickle.UnpicklingError)
"""What torch raises for files that are damaged, cut short, or hold more than tensors."""


def read_torch(path: Path, wrapper: str = WRAPPER) -> dict[str, tuple[NDArray[Any], Stored]]:
    """The float tensors of a state dict by name, bfloat16 as uint16 bit patterns.

    A dict that holds the state dict under the key `wrapper` is followed. Raises `WeightsNotFound` if there is
    no such file, and `WeightsInvalid` if it is damaged or holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsNotFound(f"There is no file {path}.")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsInvalid(f"{path} is not a torch file of plain tensors: {first:.200}") from None
    if isinstance(data, dict) and isinstance(data.get(wrapper), dict):
        data = data[wrapper]
    if not isinstance(data, dict):
        raise WeightsInvalid(f"{path} holds a {type(data).__name__}, not a dict of tensors.")
    return {str(name): _host(path, name, value) for name, value in data.items()}


def _host(path: Path, name: object, value: object) -> tuple[NDArray[Any], Stored]:
    stored = _STORED.get(value.dtype) if isinstance(value, torch.Tensor) else None
    if not isinstance(value, torch.Tensor) or stored is None:
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise WeightsInvalid(f"{path}: {name} is a {kind}; float32, float16 or bfloat16 tensors are needed.")
    plain = value.detach().contiguous()
    return (plain.view(torch.uint16) if stored == "BF16" else plain).numpy(), stored
