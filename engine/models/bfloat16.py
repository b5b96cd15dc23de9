"""bfloat16 on the host: numpy has no such type, and some steps of the checkpoint are defined in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Bit patterns of the nearest bfloat16, ties to even, of finite values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16)


def round_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest bfloat16, ties to even, of finite values, as float32."""
    return (bfloat16_bits(values).astype(np.uint32) << 16).view(np.float32)
