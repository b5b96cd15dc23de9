"""Compares the path language of segmentation with recorded cases, which need no model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dreamscope.engine import wire
from dreamscope.engine.models.tokens import CONTROL_IDS
from dreamscope.engine.skills.svgpath import PathReader, box_of, points_of, read_path
from dreamscope.engine.verify.report import Check, identical

CASES = "svg_cases.json"
_BOX = "__BBOX__"


def check_paths(folder: Path) -> Iterator[Check]:
    """Every case of the file that lies beside the sets."""
    data = json.loads((folder / CASES).read_text(encoding="utf-8"))
    for index, case in enumerate(data["cases"]):
        yield from _case(f"svg.{index}", case)
    for index, case in enumerate(data["bbox_cases"]):
        sizes = [(w, h) for w, h in case["sizes"]]
        box = box_of(case["coords"], sizes)
        yield identical(f"svg.bbox.{index}", None if box is None else wire.to_json(box), case["bbox"])
        yield identical(f"svg.points.{index}", wire.to_json(points_of(case["coords"])), case["points"])
    for index, case in enumerate(data["stream_cases"]):
        yield from _stream(f"svg.stream.{index}", case)


def _case(name: str, case: dict[str, Any]) -> Iterator[Check]:
    said = [token.strip() for token in case["tokens"] if not _is_control(token)]
    reader = read_path([token for token in said if token])
    yield identical(f"{name}.path", reader.path, case["path"])
    yield identical(f"{name}.error", reader.error, case.get("error"))
    if "parsed" in case:
        parsed: list[Any] = []
        for group in reader.groups:
            parsed += [group.command, *map(list, group.pairs)]
        yield identical(f"{name}.parsed", parsed, case["parsed"])


def _is_control(token: object) -> bool:
    return isinstance(token, int) and token < CONTROL_IDS


def _stream(name: str, case: dict[str, Any]) -> Iterator[Check]:
    reader, coords, sizes = PathReader(), [], []
    pieces: list[list[Any]] = []
    for index, item in enumerate(case["sequence"]):
        if isinstance(item, str):
            piece = reader.push(item)
            pieces += [[index, piece]] if piece else []
        elif item[0] == "c":
            coords.append(item[1])
        else:
            sizes.append((item[1], item[2]))
    rest = reader.finish()
    final = case["final"]
    recorded = [delta for delta in case["deltas"] if not delta[1].startswith(_BOX)]
    yield identical(f"{name}.deltas", pieces, recorded)
    yield identical(f"{name}.path", "".join([*(piece for _, piece in pieces), rest]), final["svg_path"])
    boxes = [json.loads(text.removeprefix(_BOX)) for _, text in case["deltas"] if text.startswith(_BOX)]
    box = wire.to_json(box_of(coords, sizes))
    yield identical(f"{name}.bbox", [box, box], [*boxes, final["bbox"]])
