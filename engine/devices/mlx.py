"""MLX as a device: Metal on a Mac, the processor on Linux. Nothing of MLX is loaded until it is opened."""

from __future__ import annotations

import os

from dreamscope.engine.devices.base import Device, DType
from dreamscope.engine.errors import DeviceUnavailable


def open_mlx(dtype: DType | None = None) -> Device:
    """Open MLX's default device, by default in bfloat16 on Metal and in float32 on a processor.

    Raises `DeviceUnavailable` if MLX is not installed or does not load.
    """
    # MLX reads this at its first product. Otherwise newer chips round float32 factors to some ten bits.
    os.environ["MLX_ENABLE_TF32"] = "0"
    try:
        from dreamscope.engine.devices.mlx_ops import MlxDevice, claim_memory, has_metal
    except ImportError as error:
        raise DeviceUnavailable(
            f"MLX cannot be used here: {error}. Install it with `pip install 'dreamscope[mlx]'` "
            "(macOS on Apple silicon, or Linux), or use --device cpu.",
            "device",
        ) from None
    if not has_metal():
        return MlxDevice(dtype or "float32")
    claim_memory()
    return MlxDevice(dtype or "bfloat16")
