"""The commands `models` and `pull`: what there is here and at endpoints, and fetching it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from dreamscope.engine.models.registry import ModelSpec, find_model
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.listing import remote_entries
from dreamscope.engine.weights.hub import local_files, locate
from dreamscope.engine.weights.known import known_models, state_of
from dreamscope.engine.weights.progress import Report, size
from dreamscope.engine.weights.revision import revision_of
from dreamscope.engine.weights.verify import verify


def entries(models_dir: Path | None = None, endpoints: Sequence[Endpoint] = ()) -> list[dict[str, Any]]:
    """One JSON object per known model, per checkpoint below `models_dir`, and per model of `endpoints`.

    `bytes` is what its files take on this machine, or about what a download will; `where` is the file of its
    weights here, the repository that it comes from, or the URL of its endpoint.
    """
    return [*(_entry(spec) for spec in known_models(models_dir)), *remote_entries(endpoints)]


def print_models(
    stream: TextIO, as_json: bool, models_dir: Path | None = None, endpoints: Sequence[Endpoint] = ()
) -> None:
    """Write the list, as JSON or as a table; each endpoint is asked first."""
    listed = entries(models_dir, endpoints)
    if as_json:
        stream.write(json.dumps(listed, indent=2) + "\n")
        return
    rows = [("MODEL", "STATE", "SIZE", "SKILLS", "WHERE")]
    rows += [
        (m["id"], m["state"], size(m["bytes"]) if m["bytes"] else "", " ".join(m["skills"]), _place(m))
        for m in listed
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        stream.write("  ".join([*cells, row[4]]).rstrip() + "\n")


def pull(names: Sequence[str], report: Report, stream: TextIO) -> None:
    """Make the files of models present and check them, going on with a download that was cut off.

    Raises `DreamscopeError` saying what to do.
    """
    specs = [find_model(name) for name in names]  # a wrong name is told before anything is fetched
    for spec in specs:
        files = locate(spec, report)
        verify(spec, files, report)
        stream.write(f"{spec.id} is ready: {files.weights}\n")


def _entry(spec: ModelSpec) -> dict[str, Any]:
    here = local_files(spec)
    expected = spec.hub.size if spec.hub is not None else None
    return {
        "id": spec.id,
        "name": spec.name,
        "description": spec.description,
        "state": state_of(spec),
        "reason": spec.unavailable,
        "skills": list(spec.skills),
        "aliases": list(spec.aliases),
        "context_length": spec.context_length,
        "revision": revision_of(spec),
        "bytes": sum(file.stat().st_size for file in here) if here else expected,
        "where": str(here[0]) if here else _source(spec),
    }


def _place(entry: Mapping[str, Any]) -> str:
    """Where it is, and why it cannot be asked there."""
    reason = entry["reason"]
    return " ".join(part for part in (entry["where"], f"({reason})" if reason else "") if part)


def _source(spec: ModelSpec) -> str:
    if spec.hub is not None:
        return f"{spec.hub.weights.repo} at {spec.hub.weights.revision}"
    return str(spec.directory() or "")
