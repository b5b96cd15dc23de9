"""Which weights a model has, in a few characters: models of the same name may answer differently.

packaged     the first digits of the SHA-256 of its weights, as its scores were measured
from a hub   the pinned revision; of a branch, the commit that is on this machine
local        the first digits of a hash of names, sizes and headers: cheap, and another training run that
             keeps them all is taken for the same
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.models.registry import HubFile, ModelSpec
from dreamscope.engine.weights.hub import cached_commit, weights_in
from dreamscope.engine.weights.safetensors_file import shard_places

DIGITS = 12
SCORES = "scores.json"
BRANCHES = ("main",)
"""Revisions that move; anything else names one state of a repository."""
_LONGEST_HEADER = 100_000_000


def revision_of(spec: ModelSpec) -> str:
    """The revision of a model's weights; empty if there are none, or they cannot be read."""
    if spec.hub is not None:
        return _pinned(spec.hub.weights)
    place = spec.directory()
    if spec.unavailable is not None or place is None:
        return ""
    try:
        return _measured(place) if spec.packaged is not None else _fingerprint(place)
    except (OSError, ValueError, KeyError, DreamscopeError):
        return ""  # loading the model says what is wrong with its files


def _pinned(file: HubFile) -> str:
    if file.revision not in BRANCHES:
        return file.revision
    commit = cached_commit(file)
    return file.revision if commit is None else commit[:DIGITS]


def _measured(folder: Path) -> str:
    digest: str = json.loads((folder / SCORES).read_text(encoding="utf-8"))["weights_sha256"]
    return digest[:DIGITS]


def _fingerprint(place: Path) -> str:
    digest = hashlib.sha256()
    for file in _weights_files(place):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(_header(file))
    return digest.hexdigest()[:DIGITS]


def _weights_files(place: Path) -> Iterator[Path]:
    weights = weights_in(place)
    if weights is None:
        raise FileNotFoundError(place)
    yield weights
    if weights.suffix == ".json":
        yield from (weights.parent / name for name in sorted(set(shard_places(weights).values())))


def _header(file: Path) -> bytes:
    """The JSON in front of a safetensors file; of an index all of it."""
    with file.open("rb") as opened:
        if file.suffix == ".json":
            return opened.read(_LONGEST_HEADER)
        length = int.from_bytes(opened.read(8), "little")
        return opened.read(min(length, _LONGEST_HEADER))
