"""`doctor`: what this machine has for running a model, as JSON. The command of the app adds the page's."""

from __future__ import annotations

import json
import platform
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dreamscope.engine.config import PORTS_TRIED
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.registry import require_available

if TYPE_CHECKING:
    from dreamscope.engine.devices.base import Device

OLDEST_PYTHON = (3, 11)
_PATIENCE_S = 2.0
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warn (works, but look) or fail; `todo` what to do about it."""

    check: str
    state: str
    said: str
    todo: str = ""


def doctor(
    stream: TextIO, model: str, device: str, dtype: str, port: int, models_dir: Path | None = None
) -> None:
    """Write a JSON list of findings about running `model` with these settings."""
    found = [_python(), *_machine(model, device, dtype, models_dir), _port(port)]
    stream.write(json.dumps([asdict(finding) for finding in found], indent=2) + "\n")


def _python() -> Finding:
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Finding("python", "fail", said, f"Make the virtual environment with Python {wanted} or newer.")
    return Finding("python", "ok", said)


def _machine(model: str, device: str, dtype: str, models_dir: Path | None) -> Iterator[Finding]:
    """PyTorch, the device that it finds, and the model on it, as far as one gets."""
    try:
        from dreamscope.engine.devices.registry import open_device, torch_build
    except (ImportError, OSError) as error:  # OSError: a library that PyTorch needs is not there
        again = "Install it again: pip install --force-reinstall 'torch<2.14'."
        yield Finding("torch", "fail", f"cannot be imported: {error}", again)
        return
    yield Finding("torch", "ok", torch_build())
    try:
        opened = open_device(device, dtype)
    except DreamscopeError as error:
        yield Finding("device", "fail", error.message, "Or leave --device out: it takes the best there is.")
        return
    said = f"{opened.name}, computing in {opened.dtype}"
    if _NVIDIA.exists() and opened.name.startswith("cpu") and device == "auto":
        todo = "Install a CUDA build of PyTorch to use the NVIDIA card of this machine."
        yield Finding("device", "warn", said, todo)
    else:
        yield Finding("device", "ok", said)
    yield from _model(model, models_dir, opened)


def _model(name: str, models_dir: Path | None, device: Device) -> Iterator[Finding]:
    """Whether the model's files are here, and whether the device holds it."""
    from dreamscope.engine.weights.hub import is_local
    from dreamscope.engine.weights.known import config_of, known_models, with_default
    from dreamscope.engine.weights.memory import check_memory, memory_need
    from dreamscope.engine.weights.progress import size

    try:
        specs = with_default(name, known_models(models_dir))
        require_available(specs[0])
    except DreamscopeError as error:
        yield Finding("weights", "fail", error.message, "See `dreamscope models`.")
        return
    chosen = specs[0]
    here = ", ".join(spec.id for spec in specs if is_local(spec)) or "none"
    if is_local(chosen):
        yield Finding("weights", "ok", f"{chosen.id} is on this machine, of all: {here}")
    else:
        how_much = f", about {size(chosen.hub.size)}" if chosen.hub is not None else ""
        said = f"{chosen.id} is not on this machine{how_much}; these are: {here}"
        todo = f"It is downloaded on first use; `dreamscope pull {chosen.id}` does that now."
        yield Finding("weights", "warn", said, todo)
    try:
        need = memory_need(config_of(chosen), device.dtype)
        check_memory(need, device)
    except DreamscopeError as error:
        yield Finding("memory", "fail", error.message, "Or name a smaller --model.")
        return
    free = device.free_memory()
    left = "" if free is None else f"; {device.name} has {size(free)} free"
    yield Finding("memory", "ok", f"{chosen.id} needs {size(need.total)} in {device.dtype}{left}")


def _port(port: int) -> Finding:
    """Whether the engine's port is free, or who has it."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return Finding("engine port", "ok", f"{port} is free")
    if _answers(port):
        return Finding("engine port", "ok", f"{port}: an engine runs there already")
    taken = f"{port} is taken by another program"
    return Finding("engine port", "warn", taken, f"The next {PORTS_TRIED - 1} are tried; or choose one.")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=_PATIENCE_S) as answer:
            return "status" in json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
