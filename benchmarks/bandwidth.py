"""How fast memory can be read here: the limit that decoding one token at a time runs into.

On the CPU, numpy looks for the largest of a buffer's 32-bit integers: one pass of vectorised loads, no
writes, and the fastest such pass numpy has. The buffer is far larger than the caches. With several threads
each reads its own share, and the slowest one ends the measurement. On another device, a matrix far larger
than its caches is multiplied with a vector.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from report import last_level_cache

from dreamscope.engine.devices.base import ITEM_BYTES, Device

MIB = 1 << 20
TIMES_THE_CACHE = 8
_COLUMNS = 8192

Scan = Callable[[], float]
"""Read everything once; bytes per second."""


def buffer_bytes() -> int:
    """Enough that what is left in the caches from the pass before does not matter."""
    return max(256 * MIB, TIMES_THE_CACHE * (last_level_cache() or 0))


def host_scan(size: int, threads: int) -> Scan:
    """A scan of `size` bytes of main memory by `threads` threads at once. Raises `ValueError`."""
    if threads < 1 or size < 4 * threads:
        raise ValueError(f"{threads} threads cannot share {size} bytes.")
    buffer = np.arange(size // 4, dtype=np.int32)  # written: pages that never were are one page of zeros
    shares = np.array_split(buffer, threads)
    pool = ThreadPoolExecutor(threads)  # numpy lets go of the interpreter while it reads

    def scan() -> float:
        begun = time.perf_counter()
        list(pool.map(np.max, shares))
        return buffer.nbytes / (time.perf_counter() - begun)

    scan()
    return scan


def device_scan(device: Device, size: int) -> Scan:
    """A scan of about `size` bytes of the device's memory."""
    rows = max(1, size // (_COLUMNS * ITEM_BYTES[device.dtype]))
    matrix, vector = device.zeros((rows, _COLUMNS)), device.zeros((_COLUMNS, 1))
    device.synchronize(matrix, vector)

    def scan() -> float:
        device.synchronize()
        begun = time.perf_counter()
        device.synchronize(device.matmul(matrix, vector))
        return rows * _COLUMNS * ITEM_BYTES[device.dtype] / (time.perf_counter() - begun)

    scan()
    return scan
