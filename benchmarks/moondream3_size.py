"""What Moondream 3 takes at its real size: memory, load time, tokens/s, and bytes read per token.

Writes a checkpoint of 9.3 billion random parameters in shards, its experts quantised as the published files
have them (int4: 7 GB on disk, fp8: 10.5 GB, bfloat16: 18.5 GB), loads it the way every checkpoint is loaded,
encodes an image of noise, and decodes --tokens tokens of an answer through the loop that serves requests.
The checkpoint is deleted afterwards, unless --folder says where to keep it; one that is there already is
used as it is.

Memory is that of this process, without what it had before loading: right after loading, and the most at any
moment while loading (Linux tells; elsewhere it is left out). Both count mapped pages of the files. What was
just written may still be in the system's file cache, which shortens loading; --folder and a second run after
a restart measure without it. The decode numbers are those of decode.py. Processor time is that of all threads
together: beside programs that want the same cores, it says more than the clock does.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decode import all_bytes, beginning, cache_bytes, decode, weight_bytes
from report import Series, build_report, finish, load_average
from subject import Subject, count, threads_of

from dreamscope.engine.devices.registry import DEVICES, DTYPES, open_device
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.weights import expected_shapes
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.progress import console, size
from dreamscope.engine.weights.random_shards import (
    EXPERT_FORMS,
    INDEX_NAME,
    ExpertForm,
    checkpoint_bytes,
    write_random_shards,
)

GB = 1e9
_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"
TEMPLATES = {"query": {"prefix": [1, 40, 2], "suffix": [3]}}
"""A prompt in bytes: the published ones need the published vocabulary."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How loading went. Seconds; bytes, `None` where the system does not tell."""

    seconds: float
    processor: float
    held: int | None
    peak: int | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark: 0, or 1 with the reason on standard error."""
    options = _parser().parse_args(argv)
    config = published_sizes()
    try:
        if options.folder is not None:
            report = measure(config, options.folder, options)
        else:
            with tempfile.TemporaryDirectory(prefix="moondream3-size-") as folder:
                report = measure(config, Path(folder), options)
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    finish(report, options.json)
    return 0


def published_sizes() -> Moondream3Config:
    """The config of the checkpoints but for their prompts."""
    return Moondream3Config.from_dict({"tokenizer": {"templates": TEMPLATES}})


def measure(config: Moondream3Config, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write, load, decode. Raises `DreamscopeError`."""
    before = load_average()
    threads = threads_of(options)
    device = open_device(options.device, options.dtype, threads)
    if not (folder / INDEX_NAME).is_file():
        _write(config, folder, options.experts)
    on_disk = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    begun = _reset_memory()
    clock, processor = time.perf_counter(), time.process_time()
    model = load_model(folder, device, console(sys.stdout))
    spent = time.perf_counter() - clock, time.process_time() - processor
    loading = Loading(*spent, _memory("VmRSS", begun), _memory("VmHWM", begun))
    subject = Subject(model, f"Moondream 3 (random, experts in {options.experts})", threads, before)
    return _report(subject, config, loading, on_disk, options)


def _write(config: Moondream3Config, folder: Path, experts: ExpertForm) -> None:
    """Raises `DreamscopeError` where there is no room for it."""
    folder.mkdir(parents=True, exist_ok=True)
    need, free = checkpoint_bytes(config, experts), shutil.disk_usage(folder).free
    if need > free:
        raise DreamscopeError(
            f"The checkpoint takes {size(need)}, but {folder} has {size(free)} free. "
            "Choose another place with --folder."
        )
    print(f"Writing {size(need)} of random weights to {folder}", flush=True)
    write_random_shards(config, folder, experts)


def _report(
    subject: Subject, config: Moondream3Config, loading: Loading, on_disk: int, options: argparse.Namespace
) -> dict[str, Any]:
    model, tokens = subject.model, options.tokens
    with model.device.inference():
        clock = time.perf_counter()
        prefix, prompt = beginning(model)
        model.device.synchronize(*prefix.keys, *prefix.values)
        image = time.perf_counter() - clock
        decode(model, prefix, prompt, 1)  # the first use of everything
        processor = time.process_time()
        speed = tokens / decode(model, prefix, prompt, tokens)
        processor = time.process_time() - processor
        filled = prefix.length + len(prompt)
        kv = cache_bytes(prefix, model, filled + (tokens + 1) / 2)
    weights = weight_bytes(model)
    memory = [
        Series(name, "GB", [measured / GB])
        for name, measured in (("memory after loading", loading.held), ("peak while loading", loading.peak))
        if measured is not None
    ]
    return build_report(
        "moondream3_size",
        subject.describe(),
        {
            "parameters": sum(map(math.prod, expected_shapes(config).values())),
            "bytes_on_disk": on_disk,
            "bytes_of_all_weights": all_bytes(model.weights),
            "tokens": tokens,
            "positions_before": filled,
            "weight_bytes_per_token": weights,
            "kv_bytes_per_token": round(kv),
            "bytes_per_token": round(weights + kv),
        },
        [
            *memory,
            Series("load time", "s", [loading.seconds]),
            Series("processor time of it", "s", [loading.processor]),
            Series("image: vision and prefix", "s", [image]),
            Series("decode", "tokens/s", [speed]),
            Series("processor time of a token", "s", [processor / tokens]),
            Series("achieved", "GB/s", [speed * (weights + kv) / GB]),
        ],
    )


def _reset_memory() -> int | None:
    """Start counting the peak anew; what the process has now, `None` where the system does not tell."""
    if not (_PROCESS / "clear_refs").exists():
        return None
    (_PROCESS / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    return _memory("VmRSS", 0)


def _memory(field: str, begun: int | None) -> int | None:
    """Bytes beyond `begun`: `VmRSS` now, `VmHWM` the most so far."""
    if begun is None:
        return None
    lines = (_PROCESS / "status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")) - begun


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experts", choices=EXPERT_FORMS, default="int4", help="their form (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (%(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the rest (%(default)s)")
    parser.add_argument(
        "--threads", type=count, metavar="N", help="CPU threads (all cores; MLX chooses by itself)"
    )
    parser.add_argument("--tokens", type=count, default=16, metavar="N", help="to decode (%(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the checkpoint is, or is to stay")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the result")
    return parser


if __name__ == "__main__":
    sys.exit(main())
