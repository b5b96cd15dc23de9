"""A reader as strict as the documentation of the format opens what we write."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from PIL import Image

from dreamscope.visualizers.exports.things import ExportError
from dreamscope.visualizers.exports.yolo import data_yaml, yolo


def read(data: bytes) -> tuple[dict[int, str], list[tuple[int, list[float]]]]:
    """Names and rows. Every rule of the format is asserted."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert all(".." not in name and not name.startswith("/") for name in names)
        settings: dict[str, Any] = yaml.safe_load(archive.read("data.yaml"))
        (picture,) = [name for name in names if name.startswith(f"{settings['train']}/")]
        label = PurePosixPath("labels") / PurePosixPath(picture).with_suffix(".txt").name
        with Image.open(io.BytesIO(archive.read(picture))) as opened:
            assert opened.format == PurePosixPath(picture).suffix[1:].upper()
        rows = [_row(line, settings["names"]) for line in archive.read(str(label)).decode().splitlines()]
    assert sorted(settings["names"]) == list(range(len(settings["names"])))
    assert settings["val"] == settings["train"]
    return settings["names"], rows


def _row(line: str, names: dict[int, str]) -> tuple[int, list[float]]:
    number, *values = line.split(" ")
    assert int(number) in names
    numbers = [float(value) for value in values]
    assert all(0 <= value <= 1 for value in numbers)
    assert len(numbers) == 4 or (len(numbers) >= 6 and len(numbers) % 2 == 0)
    return int(number), numbers


def test_boxes(detected, image):
    names, rows = read(yolo(detected("dog", "cat"), image))
    assert names == {0: "dog", 1: "cat"}
    assert rows[0] == (0, pytest.approx([0.225, 0.45, 0.25, 0.5]))
    assert rows[3][0] == 1


def test_outlines_are_polygons(outlined, image):
    _, rows = read(yolo(outlined, image))
    assert [(number, len(values)) for number, values in rows] == [(0, 8), (0, 8)]
    assert rows[0][1][:2] == pytest.approx([0.25, 0.25])


def test_points_are_refused_with_what_to_do(pointed, image):
    with pytest.raises(ExportError, match="Use COCO or CSV"):
        yolo(pointed, image)


@pytest.mark.parametrize(
    "label",
    [
        "no",
        "{a: b}",
        "- x",
        'a"b\\c',
        "it's: #1",
        "größer 犬 😀",
        "a\x85b\u2028c\u2029d",
        "*alias",
        "!!python/object:x",
    ],
)
def test_labels_survive_yaml(label):
    assert yaml.safe_load(data_yaml((label, "second")))["names"] == {0: label, 1: "second"}


def test_the_same_run_gives_the_same_file(detected, image):
    assert yolo(detected("dog"), image) == yolo(detected("dog"), image)


def test_names_of_files_come_from_no_path(detected, image):
    with zipfile.ZipFile(io.BytesIO(yolo(detected("dog", title="../../etc/passwd\n犬"), image))) as archive:
        assert archive.namelist() == ["data.yaml", "images/etc-passwd.png", "labels/etc-passwd.txt"]
