"""Random models of any size: for tests, and for measuring speed at full size without a download."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.families import AnyConfig, family_of
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.weights.memory import check_memory, memory_need

_BLOCK = (1 << 20) + 7  # not a multiple of any row length, so that rows of a large tensor differ

Draw = Callable[[str, tuple[int, ...]], NDArray[np.float32]]


def write_random_checkpoint(config: AnyConfig, folder: str | Path, seed: int = 0) -> Path:
    """Write `config.json`, `model.safetensors` (float16, current layout) and `tokenizer.json`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    draw = random_tensors(seed)
    tensors = {
        f"model.{name}": draw(name, shape).astype(np.float16)
        for name, shape in family_of(config).expected_shapes(config).items()
    }
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    (target / "tokenizer.json").write_text(json.dumps(byte_tokenizer()), encoding="utf-8")
    return target


def random_model(config: AnyConfig, device: Device, tokenizer: Tokenizer, seed: int = 0) -> Model:
    """A random model straight in memory. Raises `NotEnoughMemory` before allocating anything."""
    check_memory(memory_need(config, device.dtype), device)
    draw = random_tensors(seed)
    family = family_of(config)
    shapes = family.expected_shapes(config)
    weights = family.build_weights(config, lambda name: device.weight(draw(name, shapes[name]), "F32"))
    return family.model(config, device, weights, tokenizer)


def random_tensors(seed: int) -> Draw:
    """A source of parameters: near 1 for scales, small for shifts, variance-preserving for matrices.

    Large tensors repeat one block of normal numbers, which is many times faster than drawing them all.
    """
    rng = np.random.default_rng(seed)
    block = rng.standard_normal(_BLOCK, dtype=np.float32)

    def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        offset = int(rng.integers(_BLOCK))
        end = offset + math.prod(shape)
        # Turning the block takes a copy of it, which small tensors can do without.
        values = (
            block[offset:end].reshape(shape) if end <= _BLOCK else np.resize(np.roll(block, -offset), shape)
        )
        if name.endswith("bias"):
            return values * np.float32(0.02)
        if len(shape) == 1:  # the scale of a norm
            return 1 + values * np.float32(0.02)
        return values * np.float32(shape[-1] ** -0.5)

    return draw


def byte_tokenizer() -> dict[str, Any]:
    """The JSON of a tokenizer without merges: the control ids, then one id for each byte."""
    names = ["<|endoftext|>", *(f"<|md_reserved_{i}|>" for i in range(CONTROL_IDS - 1))]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": name, **flags} for i, name in enumerate(names)],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {
            "type": "BPE",
            "vocab": {
                **{name: i for i, name in enumerate(names)},
                **{char: CONTROL_IDS + byte for byte, char in enumerate(_byte_characters())},
            },
            "merges": [],
        },
    }


def _byte_characters() -> list[str]:
    """The printable character that byte-level vocabularies write for each byte value."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(spare)) for byte in range(256)]
