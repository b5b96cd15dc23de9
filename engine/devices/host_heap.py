"""What the libraries below PyTorch do with memory: what they let go too soon, and what they keep too long.

glibc returns larger pieces to the system at once, and the next operation faults every page of its result in
anew, one by one. That can cost a step as much as its arithmetic, and whether it does depends on what else
lies in the heap. So pieces of the size of a step's arrays are kept, in the main thread and in others.

oneDNN compiles a product for every number of rows, and keeps a thousand of them; the layer between it and
PyTorch keeps as many. Prompts have any number of rows, so both fill up, over hours. A few hundred are enough
for the decode steps, which come again and again.
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
PRODUCTS = 256
"""How many compiled products are kept: of all numbers of rows of a decode step, and of some prompts."""
_CAPACITIES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
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


def keep_few_products() -> None:
    """Bound what is kept from the first product of this process on; later it is too late.

    What the user has set stays.
    """
    for name in _CAPACITIES:
        os.environ.setdefault(name, str(PRODUCTS))
