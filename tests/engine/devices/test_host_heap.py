"""Memory of operations that is kept: nothing is faulted in twice."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading, torch
if sys.argv[1] == "kept":
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

if sys.argv[2] == "main":
    measure()
else:
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
"""
PAGES = 50 * 3 * (1 << 20) // 4096
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def count(kept: str, thread: str, **settings: str) -> int:
    environ = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", FAULTS, kept, thread]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ | settings)
    return int(done.stdout)


@glibc
@pytest.mark.parametrize("thread", ["main", "another"])
def test_arrays_of_a_step_are_faulted_in_once(thread: str) -> None:
    assert count("kept", thread) < PAGES / 10


@glibc
def test_otherwise_a_worker_would_fault_them_in_every_time() -> None:
    assert count("plain", "another") > PAGES / 2


@glibc
def test_what_the_user_has_set_stays() -> None:
    assert count("kept", "another", MALLOC_MMAP_THRESHOLD_="131072") > PAGES / 2
