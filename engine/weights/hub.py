"""Finds the files of a model: in the package, in a folder, in the download cache, or on the hub."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from tqdm.auto import tqdm

from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.registry import HubFile, ModelSpec, require_available
from dreamscope.engine.weights.progress import Progress, Report, silent
from dreamscope.engine.weights.safetensors_file import shard_places
from dreamscope.engine.weights.transfer import UNREACHABLE, transfer

WEIGHTS_NAMES = ("model.safetensors", "weights.safetensors", "model.safetensors.index.json")
TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Everything that loading reads. `config` is `{}` where the checkpoint carries none."""

    weights: Path
    tokenizer: Path
    config: dict[str, Any]


def locate(spec: ModelSpec, report: Report = silent) -> ModelFiles:
    """The files of a model, downloaded at their pinned revision if they are not on this machine.

    Raises `WeightsNotFound` saying where was looked and what to do.
    """
    require_available(spec)
    if spec.hub is not None:
        weights = _fetch(spec, spec.hub.weights, report)
        for shard in _shards(spec.hub.weights, weights):
            _fetch(spec, shard, report)
        return ModelFiles(weights, _fetch(spec, spec.hub.tokenizer, report), {})
    place = spec.directory()
    assert place is not None, f"{spec.id} has no source"
    return _in_folder(spec, place)


def is_local(spec: ModelSpec) -> bool:
    """Whether loading this model needs no network."""
    if spec.unavailable is not None:
        return False
    if spec.hub is not None:
        weights = _cached(spec.hub.weights)
        if weights is None:
            return False
        needed = (spec.hub.tokenizer, *_shards(spec.hub.weights, weights))
        return all(_cached(file) is not None for file in needed)
    place = spec.directory()
    return place is not None and weights_in(place) is not None


def local_files(spec: ModelSpec) -> list[Path]:
    """Every file of a model that is on this machine, weights first; none if it is not."""
    if not is_local(spec):
        return []
    if spec.hub is not None:
        weights = _cached(spec.hub.weights)
        assert weights is not None, "it is local"
        others = (_cached(file) for file in (*_shards(spec.hub.weights, weights), spec.hub.tokenizer))
        return [weights, *(file for file in others if file is not None)]
    place = spec.directory()
    assert place is not None, "it is local"
    weights = weights_in(place)
    assert weights is not None, "it is local"
    folder = weights.parent
    shards = sorted(set(shard_places(weights).values())) if weights.suffix == ".json" else []
    beside = (folder / name for name in (*shards, TOKENIZER_NAME, CONFIG_NAME))
    return [weights, *(file for file in beside if file.is_file())]


def _shards(file: HubFile, place: Path) -> list[HubFile]:
    """The files that an index names, which lie beside it; none for weights in one file."""
    if place.suffix != ".json":
        return []
    return [replace(file, filename=shard) for shard in sorted(set(shard_places(place).values()))]


def _in_folder(spec: ModelSpec, place: Path) -> ModelFiles:
    weights = weights_in(place)
    if weights is None:
        raise WeightsNotFound(
            f"{spec.name} has no weights: expected one of {', '.join(WEIGHTS_NAMES)} in {place}.", "model"
        )
    folder = weights.parent
    tokenizer, config = folder / TOKENIZER_NAME, folder / CONFIG_NAME
    if not tokenizer.is_file():
        raise WeightsNotFound(
            f"{folder} has no {TOKENIZER_NAME}. For published weights take the one of moondream/starmie-v1.",
            "model",
        )
    return ModelFiles(weights, tokenizer, _read_config(config) if config.is_file() else {})


def weights_in(place: Path) -> Path | None:
    """The file of weights that `place`, a folder or itself such a file, has; of shards their index."""
    if place.is_file():
        return place
    return next((place / name for name in WEIGHTS_NAMES if (place / name).is_file()), None)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsInvalid(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise WeightsInvalid(f"{path} must hold a JSON object.")
    return config


def cached_commit(file: HubFile) -> str | None:
    """The commit of a file in the download cache; `None` if it is not there."""
    cached = _cached(file)
    return None if cached is None else cached.parents[file.filename.count("/")].name


def _cached(file: HubFile) -> Path | None:
    found = huggingface_hub.try_to_load_from_cache(file.repo, file.filename, revision=file.revision)
    return Path(found) if isinstance(found, str) else None


def _fetch(spec: ModelSpec, file: HubFile, report: Report) -> Path:
    cached = _cached(file)
    if cached is not None:
        return cached
    report(Progress("download", f"Downloading {file.filename} of {file.repo} at {file.revision}"))
    bar = _bar(file, report)
    try:
        transfer(file, bar)
        return Path(
            huggingface_hub.hf_hub_download(file.repo, file.filename, revision=file.revision, tqdm_class=bar)
        )
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, *UNREACHABLE) as error:
        raise WeightsNotFound(_offline_text(spec, error), "model") from error
    except (HfHubHTTPError, EntryNotFoundError) as error:
        raise WeightsNotFound(
            f"The hub refused {file.filename} of {file.repo} at {file.revision}: {_first_line(error)}",
            "model",
        ) from error
    except OSError as error:
        raise WeightsNotFound(
            f"{file.filename} of {file.repo} could not be stored: {error}", "model"
        ) from error


def _offline_text(spec: ModelSpec, error: Exception) -> str:
    assert spec.hub is not None
    weights, tokenizer = spec.hub.weights, spec.hub.tokenizer
    return (
        f"{spec.name} is not on this machine and cannot be downloaded ({_first_line(error)}). "
        f"Connect to the network and run `dreamscope pull {spec.id}`; or put {weights.filename} of "
        f"{weights.repo} at {weights.revision} and {tokenizer.filename} of {tokenizer.repo} into one folder "
        "and give its path as the model; or use sprite-2, which needs no download."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _bar(file: HubFile, report: Report) -> type[tqdm]:
    """A progress bar that draws nothing and reports instead."""
    message = f"Downloading {file.filename} of {file.repo} at {file.revision}"

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO()})

        def display(self, *args: Any, **kwargs: Any) -> None:
            report(Progress("download", message, int(self.n), int(self.total or 0)))

    return Bar
