"""Memory of operations is kept, so that nothing is faulted in twice; that of libraries is bounded."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

FAULTS = """
import resource, sys, threading, torch
from dreamscope.engine.devices.registry import open_device
open_device("cpu")
torch.set_num_threads(1)

def faults(rounds):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        arrays = [torch.zeros(1 << 18) for _ in range(3)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun

def measure():
    faults(5)
    print(faults(50))

if sys.argv[1] == "main":
    measure()
else:
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
"""
PAGES = 50 * 3 * (1 << 20) // 4096
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def count(thread: str, **settings: str) -> int:
    environ = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", FAULTS, thread]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ | settings)
    return int(done.stdout)


@glibc
@pytest.mark.parametrize("thread", ["main", "another"])
def test_arrays_of_a_step_are_faulted_in_once(thread: str) -> None:
    """Three processes, as some heaps happen to lie so that nothing has to be kept."""
    assert max(count(thread) for _ in range(3)) < PAGES / 10


@glibc
@pytest.mark.parametrize("thread", ["main", "another"])
def test_what_the_user_has_set_stays_and_then_they_are_faulted_in_every_time(thread: str) -> None:
    assert count(thread, MALLOC_MMAP_THRESHOLD_="131072") > PAGES / 2


PRODUCTS = """
import torch
from pathlib import Path
from dreamscope.engine.devices.registry import open_device
device = open_device("cpu", threads=1)
weight, bias = torch.randn(768, 192), torch.zeros(768)

def grown(sizes):
    memory = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
    begun = memory()
    for rows in sizes:
        device.linear(torch.zeros(rows, 192), weight, bias)
    return memory() - begun

with device.inference():
    device.linear(torch.zeros(1000, 192), weight, bias)
    grown(range(3, 400))
    print(grown(range(400, 900)))
"""


@glibc
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN")
def test_what_was_compiled_for_a_number_of_rows_is_not_kept_for_ever() -> None:
    def grown(**settings: str) -> float:
        environ = {name: value for name, value in os.environ.items() if "CAPACITY" not in name} | settings
        command = [sys.executable, "-c", PRODUCTS]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        return float(done.stdout)

    bounded = grown()
    left = grown(ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024", LRU_CACHE_CAPACITY="1024")
    assert bounded < 0.8 * left, (bounded, left)  # 256 of the last 500
