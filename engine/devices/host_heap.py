"""What the C library does with memory that an operation has given back.

glibc returns larger pieces to the system at once, and the next operation faults every page of its result in
anew, one by one. That can cost a step as much as its arithmetic, and whether it does depends on what else
lies in the heap. So pieces of the size of a step's arrays are kept, in the main thread and in others.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

KEPT = 1 << 28
"""Bytes at the end of a heap that may lie idle."""
LARGEST = 1 << 25
"""Bytes of the largest array that is taken from a heap; glibc allows no more."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Ask for it, for this process; whether there was somebody to ask. What the user has set stays."""
    if sys.platform != "linux" or any(name in os.environ for name in _SET_BY_USER):
        return False
    library: Any = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    options = ((_MMAP_THRESHOLD, LARGEST), (_TRIM_THRESHOLD, KEPT))
    return all(library.mallopt(*option) == 1 for option in options)
