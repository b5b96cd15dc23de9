"""Kernels run on a card if there is one, else in Triton's interpreter.

Which of the two follows from a variable that Triton reads when a kernel is defined, so it is set before the
tests here are imported. Without Triton they are skipped.
"""

from __future__ import annotations

import os

import pytest
import torch

PLACE = "cuda" if torch.cuda.is_available() else "cpu"
if PLACE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def place() -> str:
    return PLACE
