"""A comparison as files, opened again."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from dreamscope.engine import wire
from dreamscope.visualizers.comparison_export import comparison_csv, comparison_json
from dreamscope.visualizers.record import Part, Picture, Record

PICTURE = Picture("ab" * 32, 640, 480, "image/png")
BOX = wire.Box(0.1, 0.1, 0.3, 0.3)
FAR = wire.Box(0.5, 0.5, 0.8, 0.8)


def run(result: wire.Result, model: str, **asked: Any) -> Record:
    skill = "detect" if isinstance(result, wire.DetectResult) else "query"
    create = wire.RequestCreate(request_id="r", skill=skill, **asked)
    metrics = wire.Metrics(output_tokens=5, total_time_ms=50.0)
    output = wire.result_to_json(result)
    done = wire.RequestDone(request_id="r", finish_reason="stop", output=output, metrics=metrics)
    part = Part(create, "done", (done,))
    return Record(id=model, created_at="", skill=skill, picture=PICTURE, model=model, parts=(part,))


def rows_of(*records: Record) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(comparison_csv(records))))


def test_each_column_is_a_row_with_how_it_goes_with_the_first():
    records = [
        run(wire.DetectResult(boxes), model, object="dog")
        for boxes, model in (((BOX, FAR), "one"), ((BOX,), "two"), ((), "three"))
    ]
    rows = rows_of(*records)
    told = [
        [row[n] for n in ("column", "model", "count", "matched", "only_first", "only_here")] for row in rows
    ]
    assert told == [
        ["A", "one", "2", "", "", ""],
        ["B", "two", "1", "1", "1", "0"],
        ["C", "three", "0", "0", "2", "0"],
    ]
    assert {row["total_ms"] for row in rows} == {"50.0"}
    assert {row["sha256"] for row in rows} == {PICTURE.hash}
    data = json.loads(json.dumps(comparison_json(records)))
    assert [(each["left"], each["right"]) for each in data["between"]] == [("A", "B"), ("A", "C"), ("B", "C")]
    (pair,) = data["between"][0]["pairs"]
    assert pair["iou"] == 1.0
    assert pair["right"]["box"] == {"x_min": 0.1, "y_min": 0.1, "x_max": 0.3, "y_max": 0.3}
    assert [mark["object"] for mark in data["between"][0]["only_left"]] == ["dog"]
    assert data["columns"][0]["count"] == 2


def test_answers_have_shared_words_and_are_no_formulas():
    first, second = rows_of(
        *(run(wire.QueryResult(text), text, question="How many?") for text in ("=1+1 dogs", "two dogs"))
    )
    assert first["answer"] == "'=1+1 dogs"
    assert (first["shared_words"], first["count"]) == ("", "")
    assert 0 < float(second["shared_words"]) < 1


def test_other_images_are_not_compared_mark_by_mark():
    records = [run(wire.DetectResult((BOX,)), model, object="dog") for model in ("one", "two")]
    other = Record(
        **{name: getattr(records[1], name) for name in ("id", "created_at", "skill", "model", "parts")}
    )
    assert (rows_of(records[0], other)[1]["matched"], rows_of(*records)[1]["matched"]) == ("", "1")
