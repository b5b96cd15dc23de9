"""The commands `models` and `pull`: what there is, and fetching it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from dreamscope.engine.models.registry import find_model
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.known import known_models, state_of
from dreamscope.engine.weights.progress import Report


def entries(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """One JSON object per known model, and per checkpoint below `models_dir`."""
    return [
        {
            "id": spec.id,
            "name": spec.name,
            "description": spec.description,
            "state": state_of(spec),
            "reason": spec.unavailable,
            "skills": list(spec.skills),
            "aliases": list(spec.aliases),
            "context_length": spec.context_length,
        }
        for spec in known_models(models_dir)
    ]


def print_models(stream: TextIO, as_json: bool, models_dir: Path | None = None) -> None:
    """Write the list, as JSON or as a table."""
    listed = entries(models_dir)
    if as_json:
        stream.write(json.dumps(listed, indent=2) + "\n")
        return
    rows = [("MODEL", "STATE", "SKILLS", "DESCRIPTION")]
    rows += [(m["id"], m["state"], " ".join(m["skills"]), m["description"]) for m in listed]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        stream.write("  ".join([*cells, row[3]]) + "\n")


def pull(name: str, report: Report, stream: TextIO) -> None:
    """Make the files of a model present. Raises `DreamscopeError` saying what to do."""
    spec = find_model(name)
    files = locate(spec, report)
    stream.write(f"{spec.id} is ready: {files.weights}\n")
