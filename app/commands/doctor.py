"""`dreamscope doctor`: what this machine has for Dreamscope, a line for each thing, with what to do about it.

What models need is looked at by the engine, in a process of its own, so that even a PyTorch which takes its
process down with it is one line here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dreamscope.app.kept import history_folder
from dreamscope.app.store.connect import FILE
from dreamscope.app.supervisor import engine_command
from dreamscope.engine.settings import SettingError, Values

PACKAGES = ("gradio", "websockets", "pillow", "scipy", "sqlite-utils", "svgwrite", "uvicorn", "httpx")
"""What the page is made of, by the names of their distributions."""
LITTLE_BYTES = 1_000_000_000
ENGINE_PATIENCE_S = 120
_USAGE = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warn (works, but look) or fail; `todo` what to do about it."""

    check: str
    state: str
    said: str
    todo: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None beyond the settings."""


def run(options: argparse.Namespace, rest: Sequence[str], values: Values, environ: Mapping[str, str]) -> int:
    """Print what was found; 1 if anything fails. Raises `SettingError` for a flag that the engine refuses."""
    found = [
        *_engine(values, rest),
        _packages(),
        _page_port(values["port"]),
        *_data(history_folder(values, environ)),
    ]
    if values["json"]:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            print(f"{finding.state:<5} {finding.check:<12} {finding.said}")
            if finding.todo:
                print(f"{'':18} {finding.todo}")
    return int(any(finding.state == "fail" for finding in found))


def _engine(values: Values, rest: Sequence[str]) -> Iterator[Finding]:
    """What the engine says about this machine, or that it cannot even say that."""
    flags = (f"--model={values['model']}", f"--port={values['engine_port']}")
    try:
        asked = subprocess.run(
            engine_command("doctor", *flags, *rest),
            capture_output=True,
            text=True,
            timeout=ENGINE_PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        yield Finding("engine", "fail", f"did not answer in {ENGINE_PATIENCE_S} s", "Is the disk very slow?")
        return
    said = asked.stderr.strip().splitlines() or ["it printed nothing"]
    if asked.returncode == _USAGE:
        raise SettingError(said[-1].partition("error: ")[2] or said[-1])
    findings: list[dict[str, Any]] = json.loads(asked.stdout) if asked.returncode == 0 else []
    yield from (Finding(**finding) for finding in findings)
    if not findings:
        todo = "Install Dreamscope again, in a fresh virtual environment."
        yield Finding("engine", "fail", f"ended with status {asked.returncode}: {said[-1]}", todo)


def _packages() -> Finding:
    """Whether what the page needs is installed."""
    versions, missing = [], []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "Run: pip install -e .")
    return Finding("packages", "ok", ", ".join(versions))


def _page_port(port: int) -> Finding:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            said = f"{port}: {error.strerror}"
            return Finding("page port", "warn", said, "The next free one is used; or choose another --port.")
    return Finding("page port", "ok", f"{port} is free")


def _data(folder: Path) -> Iterator[Finding]:
    """The folder of the history: whether it can be written, has room, and holds a file that is sound."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(place, os.W_OK):
        todo = "Make it writable, name another folder with --data, or use --no-history."
        yield Finding("data folder", "fail", f"{place} cannot be written", todo)
        return
    free = shutil.disk_usage(place).free
    said = f"{folder}{'' if folder.exists() else ' (made when needed)'}, {free / 1e9:.1f} GB free"
    if free < LITTLE_BYTES:
        yield Finding("data folder", "warn", said, "Make room, or the history stops being written.")
    else:
        yield Finding("data folder", "ok", said)
    if (folder / FILE).is_file():
        yield _history(folder / FILE)


def _history(file: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            wrong = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            runs = db.execute("SELECT COUNT(*) FROM runs WHERE deleted_at IS NULL").fetchone()[0]
    except sqlite3.Error as error:
        wrong, runs = str(error), 0
    if wrong != "ok":
        todo = f"Move {file} away; a new one is made. What can be read of it: sqlite3 {file} .recover"
        return Finding("history", "fail", f"{file} is damaged: {wrong}", todo)
    return Finding("history", "ok", f"{runs} runs, {file.stat().st_size / 1e6:.1f} MB")
