"""JSON and CSV: values, and text that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json

import pytest

from dreamscope.visualizers.exports.plain import COLUMNS, as_text, places_csv, result_json


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def test_pixels_and_fractions(detected):
    first = rows(places_csv(detected("dog", "cat")))[0]
    assert tuple(first) == COLUMNS
    assert (first["label"], first["ground"], first["kind"], first["part"]) == ("dog", "b0", "box", "0")
    assert (first["x_min"], first["y_max"], first["x_min_px"], first["y_max_px"]) == (
        "0.100000",
        "0.700000",
        "20.00",
        "84.00",
    )
    assert (first["x_px"], first["y_px"]) == ("45.00", "54.00")


def test_points_have_no_box(pointed):
    found = rows(places_csv(pointed))
    assert [row["x_px"] for row in found] == ["50.00", "150.00"]
    assert {row["x_min"] for row in found} == {""}


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-2", "@x", "\t=1", "\r=1", "  =HYPERLINK(1)", "＝1", "=cmd|'/c'!A1"]
)
def test_formulas_are_text(text, detected):
    assert as_text(text).startswith("'")
    assert {row["label"][0] for row in rows(places_csv(detected(text)))} == {"'"}


def test_words_with_quotes_and_lines_survive(grounded, detected):
    assert {row["words"] for row in rows(places_csv(grounded))} == {"two dogs"}
    assert rows(places_csv(detected('a "b", c\nd 犬')))[0]["label"] == 'a "b", c d 犬'


def test_json_has_every_part(detected):
    data = json.loads(result_json(detected("dog", "cat")).decode("ascii"))
    assert [part["name"] for part in data["parts"]] == ["dog", "cat"]
    assert len(data["parts"][0]["result"]["objects"]) == 2
    assert (data["model"], data["parts"][0]["finish_reason"]) == ("sprite-3", "stop")
