"""Runs against what people know to be in the image: files, geometry, words."""

from __future__ import annotations

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers import record_json, truth_file
from dreamscope.visualizers.hits import fitting, hits_of
from dreamscope.visualizers.matching import match_targets
from dreamscope.visualizers.record import Part, Picture, Record
from dreamscope.visualizers.truth import Known, TruthError, truth_of
from dreamscope.visualizers.truth_html import sentence, told

PICTURE = Picture("0" * 64, 200, 100, "image/png")
LEFT, RIGHT = (0.1, 0.1, 0.3, 0.5), (0.6, 0.2, 0.9, 0.8)


def ended(skill, name, output, number=0):
    """A part of one done event, which is all that truth needs."""
    create = wire.RequestCreate(request_id=f"r.{number}", skill=skill, object=name)
    done = wire.RequestDone(
        request_id=f"r.{number}", seq=0, t=0.0, output=output, finish_reason="stop", metrics=wire.Metrics()
    )
    return Part(create, "done", (done,))


def run(*parts, truth=None):
    skill = parts[0].create.skill
    return Record(
        id="r",
        created_at="2026-01-01T00:00:00.000Z",
        skill=skill,
        model="m",
        picture=PICTURE,
        parts=parts,
        truth=truth,
    )


def boxes(*corners, name="dog", number=0):
    objects = [dict(zip(("x_min", "y_min", "x_max", "y_max"), each, strict=True)) for each in corners]
    return ended("detect", name, {"objects": objects}, number)


def points(*places):
    listed = [{"x": x, "y": y} for x, y in places]
    return ended("point", "dog", {"points": listed, "count": len(listed)})


def grounds(found):
    return (
        {hit.place.ground: hit.known for hit in found.hits},
        [p.ground for p in found.wrong],
        found.missed,
    )


def test_boxes_hit_at_an_overlap_of_a_half():
    whole, half = (0.0, 0.0, 0.25, 0.5), (0.0, 0.0, 0.25, 0.25)
    found = hits_of(run(boxes(half, (0.4, 0.1, 0.5, 0.2)), truth=(Known(whole), Known(RIGHT))))
    assert grounds(found) == ({"b0": 0}, ["b1"], (1,))
    assert found.hits[0].value == pytest.approx(0.5)
    smaller = (0.0, 0.0, 0.25, 0.24)
    assert grounds(hits_of(run(boxes(smaller), truth=(Known(whole),)))) == ({}, ["b0"], (0,))


def test_a_thing_is_hit_once():
    found = hits_of(run(boxes(LEFT, LEFT), truth=(Known(LEFT),)))
    assert grounds(found) == ({"b0": 0}, ["b1"], ())


def test_points_hit_inside_a_box_or_near_a_point():
    truth = (Known(LEFT), Known((0.75, 0.5)))
    # the diagonal of 200 by 100 is 223.6 pixels, 5 % of it 11.2: 0.05 of the width is 10, 0.06 is 12
    found = hits_of(run(points((0.29, 0.49), (0.80, 0.5)), truth=truth))
    assert grounds(found) == ({"p0": 0, "p1": 1}, [], ())
    found = hits_of(run(points((0.31, 0.49), (0.81, 0.5)), truth=truth))
    assert grounds(found) == ({}, ["p0", "p1"], (0, 1))


def test_as_many_as_possible_are_hit():
    """A point that lies in two boxes leaves the one that another needs."""
    wide, narrow = wire.Box(0, 0, 1, 1), wire.Box(0.4, 0.4, 0.6, 0.6)
    found = match_targets([(0.5, 0.5), (0.9, 0.9)], [(0.5, 0.5), (0.5, 0.5)], [wide, narrow], (100, 100))
    assert {(pair.left, pair.right) for pair in found.pairs} == {(0, 1), (1, 0)}


def test_nothing_found_and_nothing_there():
    assert grounds(hits_of(run(points(), truth=(Known(LEFT),)))) == ({}, [], (0,))
    assert grounds(hits_of(run(points((0.5, 0.5)), truth=()))) == ({}, ["p0"], ())
    assert hits_of(run(points((0.5, 0.5)))) is None


def test_several_objects_are_held_against_their_own_name():
    record = run(
        boxes(LEFT), boxes(LEFT, name="Cat", number=1), truth=(Known(LEFT, "cat"), Known(RIGHT, "dog"))
    )
    assert grounds(hits_of(record)) == ({"1.b0": 0}, ["b0"], (1,))


def test_an_outline_counts_by_its_box():
    output = {
        "path": "M 0 0 L 1 0 L 1 1 Z",
        "bbox": dict(zip(("x_min", "y_min", "x_max", "y_max"), LEFT, strict=True)),
    }
    assert grounds(hits_of(run(ended("segment", "dog", output), truth=(Known(LEFT),)))) == ({"m0": 0}, [], ())


@pytest.mark.parametrize(
    ("found", "truth", "said"),
    [
        ((LEFT, (0.4, 0.1, 0.5, 0.2)), (LEFT, RIGHT), "Truth: 1 of 2 hit, 1 missed; 1 box hits nothing."),
        ((LEFT,), (LEFT,), "Truth: 1 of 1 hit, 0 missed."),
        ((LEFT, RIGHT), (), "Truth: nothing is there; 2 boxes hit nothing."),
        ((), (), "Truth: nothing is there."),
    ],
)
def test_one_sentence_says_the_counts(found, truth, said):
    record = run(boxes(*found), truth=tuple(map(Known, truth)))
    assert sentence(hits_of(record)) == said


def test_what_is_shown_is_escaped_and_shares_its_ids():
    shown = told(run(boxes(LEFT, (0.4, 0.1, 0.5, 0.2)), truth=(Known(LEFT), Known(RIGHT, "<dog>"))), 500)
    assert 'class="truth-badge hit" data-ground="b0"' in shown.layer
    assert 'class="truth-badge wrong" data-ground="b1"' in shown.layer
    assert 'class="mark truth-missed" data-ground="t1"' in shown.layer
    assert "Box 1 · hit, IoU 1.00" in shown.entries
    assert "Box 2 · hits nothing" in shown.entries
    assert "Missed · &lt;dog&gt;" in shown.entries
    assert "<dog>" not in shown.line + shown.layer + shown.entries


def test_truth_survives_a_file_of_the_run():
    record = run(boxes(LEFT), truth=(Known(LEFT, "dog"), Known((0.5, 0.5))))
    assert record_json.loads(record_json.dumps(record)).truth == record.truth
    assert "truth" not in record_json.to_json(run(boxes(LEFT)))


@pytest.mark.parametrize(
    "given",
    [
        {},
        [[0.1, 0.2]],
        [{"at": [0.1]}],
        [{"at": [0.1, 1.2]}],
        [{"at": [0.1, float("nan")]}],
        [{"at": [0.3, 0.1, 0.2, 0.5]}],
        [{"at": [True, 0.1]}],
        [{"at": [0.1, 0.2], "label": 3}],
        [{"at": [0.1, 0.2], "score": 1}],
        [{"at": [0.1, 0.2]}] * 1001,
    ],
)
def test_what_is_no_truth_is_refused(given):
    with pytest.raises(TruthError):
        truth_of(given)
    with pytest.raises(record_json.RecordError):
        record_json.from_json({**record_json.to_json(run(boxes(LEFT))), "truth": given or 0})


def coco(**more):
    return {
        "images": [{"id": 7, "width": 400, "height": 200}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [40, 20, 80, 80]},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 10, 10], "keypoints": [200, 100, 2, 0, 0, 0]},
        ],
        **more,
    }


def test_a_coco_file_is_read_in_its_own_pixels():
    assert truth_file.read(coco(), (200, 100)) == (
        Known((0.1, 0.1, 0.3, 0.5), "dog"),
        Known((0.5, 0.5), "cat"),
    )


def test_a_list_is_a_file_too():
    assert truth_file.read([{"at": [0.1, 0.2]}], (1, 1)) == (Known((0.1, 0.2)),)
    assert truth_file.read({"truth": [{"at": [0.1, 0.2], "label": "dog"}]}, (1, 1)) == (
        Known((0.1, 0.2), "dog"),
    )


@pytest.mark.parametrize(
    "given",
    [
        3,
        {"places": []},
        coco(images=[{"id": 1}, {"id": 2}]),
        coco(images=[{"id": 1, "width": 0, "height": 4}]),
        coco(images="none"),
        coco(annotations=[{"image_id": 1, "bbox": [1, 2, 3]}]),
        coco(annotations=[{"image_id": 1, "bbox": [1, 2, 3, "4"]}]),
        coco(annotations=[{"image_id": 1, "bbox": None}]),
        coco(annotations=[{"image_id": [], "bbox": [1, 2, 3, 4]}]),
        coco(annotations=[{"image_id": 1, "keypoints": [1, 2]}]),
        coco(categories=[{"id": 1, "name": 5}]),
    ],
)
def test_strange_files_are_refused(given):
    with pytest.raises(TruthError):
        truth_file.read(given, (200, 100))


def test_only_what_was_asked_for_is_kept():
    kept = fitting((Known(LEFT, "Dog"), Known(RIGHT, "cat"), Known(RIGHT)), run(boxes(LEFT)))
    assert [known.label for known in kept] == ["Dog", ""]


@pytest.mark.parametrize(
    ("record", "truth", "said"),
    [
        (run(boxes(LEFT)), (Known((0.1, 0.2)),), "must be boxes"),
        (run(boxes(LEFT)), (Known(LEFT, "cat"),), "looked for dog"),
        (run(boxes(LEFT), boxes(LEFT, name="cat", number=1)), (Known(LEFT),), "one of cat, dog"),
        (run(ended("query", None, {"answer": "x"})), (), "runs of point, detect, segment"),
        (
            run(Part(wire.RequestCreate(request_id="r", skill="detect", object="dog"), "running")),
            (),
            "has ended",
        ),
    ],
)
def test_truth_that_does_not_fit_the_run_says_why(record, truth, said):
    with pytest.raises(TruthError, match=said):
        fitting(truth, record)
