"""Every kernel becomes machine code for a card that need not be here."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = {
    *("_attend_part", "_join_parts", "_attend_prefix", "_rope_write"),
    *("_group", "_multiply", "_product", "_sample"),
}
SHARED_BYTES = 99 * 1024
"""What a program may use on the smallest of the cards that are meant, those for desktops."""


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_at_the_sizes_of_moondream(capability: int, tmp_path: Path):
    pytest.importorskip("triton", reason="Triton is not installed.")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    program = Path(__file__).with_name("compiled.py")
    run = [sys.executable, str(program), str(capability)]
    ended = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    shared: dict[str, int] = ast.literal_eval(ended.stdout)
    assert set(shared) == KERNELS
    assert max(shared.values()) <= SHARED_BYTES
