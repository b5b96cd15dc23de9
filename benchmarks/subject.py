"""Which model is measured, on which device: the flags that all benchmarks share, and opening it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import finish, load_average, usable_cores

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import DEVICES, DTYPES, open_device
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.registry import DEFAULT_MODEL, find_model
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import byte_tokenizer, random_model

FULL_SIZES = {"moondream2": "Moondream 2", "moondream3": "Moondream 3"}
Measure = Callable[["Subject", argparse.Namespace], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded model and where it computes."""

    model: Model
    name: str
    threads: int | None
    """`None` where the device chooses them itself."""
    load_before: float | None
    """Load of the machine before anything was measured."""

    def describe(self) -> dict[str, Any]:
        """For the report."""
        device = self.model.device
        return {
            "model": self.name,
            "device": device.name,
            "dtype": device.dtype,
            "threads": self.threads,
            "load_before": self.load_before,
        }


def build_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """The shared flags. `description` is shown as it is written."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--model", default=DEFAULT_MODEL, help="a known model or the path of a checkpoint (%(default)s)"
    )
    which.add_argument(
        "--full-size",
        nargs="?",
        const="moondream2",
        choices=tuple(FULL_SIZES),
        help="a model with random weights, moondream2 if none is named: the speed of the real one without "
        "the download; bfloat16 unless --dtype says otherwise, then about 5 GiB of memory, or 25 for "
        "moondream3 (moondream3_size.py measures it quantised, in 10)",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (%(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="number format (%(default)s)")
    parser.add_argument(
        "--threads",
        type=count,
        metavar="N",
        help="CPU threads (as the model is served: all cores, but for the Sprites; MLX chooses by itself)",
    )
    parser.add_argument(
        "--rounds", type=count, default=rounds, metavar="N", help="samples of everything (%(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="store the result, as benchmarks/results/NAME.json"
    )
    return parser


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None, measure: Measure) -> int:
    """Parse, measure, print and store. 0, or 1 with the reason on standard error."""
    options = parser.parse_args(argv)
    try:
        report = measure(open_subject(options), options)
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    finish(report, options.json)
    return 0


def open_subject(options: argparse.Namespace) -> Subject:
    """Open the device and load the model. Raises `DreamscopeError`."""
    load = load_average()
    dtype = "bfloat16" if options.full_size and options.dtype == "auto" else options.dtype
    spec = None if options.full_size else find_model(options.model)
    threads = threads_of(options, None if spec is None else spec.threads)
    device = open_device(options.device, dtype, threads)
    if spec is None:
        name = f"{FULL_SIZES[options.full_size]} (random weights)"
        return Subject(full_size(options.full_size, device), name, threads, load)
    return Subject(load_model(spec, device), spec.name, threads, load)


def threads_of(options: argparse.Namespace, served: int | None = None) -> int | None:
    """As asked, else with how many the model is `served`, else every core; MLX is not told."""
    asked: int | None = options.threads
    return asked or (None if options.device == "mlx" else served or usable_cores())


def full_size(family: str, device: Device) -> Model:
    """The published sizes with random weights and a byte tokenizer. Raises `NotEnoughMemory`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_text(json.dumps(byte_tokenizer()), encoding="utf-8")
        tokenizer = Tokenizer.load(path)
    config = Moondream3Config() if family == "moondream3" else Moondream2Config()
    return random_model(config, device, tokenizer)


def noise(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """An image `[H, W, 3]`; what is on it does not change how long it takes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def count(text: str) -> int:
    """The type of a flag that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number of at least 1")
    return value
