"""The real reader of COCO opens what we write, and sees our mask."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from dreamscope.visualizers.exports import mask
from dreamscope.visualizers.exports.coco import coco, run_lengths
from dreamscope.visualizers.exports.things import ExportError

HOSTILE = '"><script>alert(1)</script> \u202e größer 犬 😀'


def opened(data: bytes, tmp_path) -> COCO:
    path = tmp_path / "coco.json"
    path.write_bytes(data)
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_boxes_of_two_kinds(detected, tmp_path):
    data = opened(coco(detected("dog", HOSTILE)), tmp_path)
    assert [category["name"] for category in data.loadCats(data.getCatIds())] == ["dog", HOSTILE]
    (picture,) = data.loadImgs(data.getImgIds())
    assert (picture["width"], picture["height"]) == (200, 120)
    dogs = data.loadAnns(data.getAnnIds(catIds=data.getCatIds(catNms=["dog"])))
    assert [np.round(ann["bbox"], 6).tolist() for ann in dogs] == [[20, 24, 50, 60], [100, 12, 80, 48]]
    assert dogs[0]["area"] == pytest.approx(3000)
    assert len(data.getAnnIds(areaRng=[3500, 1e9])) == 1


def test_the_mask_is_the_one_of_the_png(outlined, tmp_path):
    data = opened(coco(outlined), tmp_path)
    (annotation,) = data.loadAnns(data.getAnnIds())
    theirs = data.annToMask(annotation).astype(bool)
    with Image.open(io.BytesIO(mask.png(outlined, b""))) as picture:
        assert (picture.mode, picture.size) == ("L", (200, 120))
        ours = np.asarray(picture) == 255
    assert np.array_equal(theirs, ours)
    assert annotation["area"] == ours.sum() == 80 * 60 - 40 * 36
    assert not ours[60, 90]  # the hole
    assert ours[35, 60]


def test_points_are_keypoints(pointed, tmp_path):
    data = opened(coco(pointed), tmp_path)
    annotations = data.loadAnns(data.getAnnIds())
    assert [ann["keypoints"] for ann in annotations] == [[50, 60, 2], [150, 30, 2]]
    assert data.loadCats(1)[0]["keypoints"] == ["point"]


def test_spans_are_labelled_with_their_noun(grounded, tmp_path):
    data = opened(coco(grounded), tmp_path)
    assert [category["name"] for category in data.loadCats(data.getCatIds())] == ["dog"]


def test_nothing_found_is_a_data_set_without_annotations(detected, tmp_path):
    from dataclasses import replace

    run = detected("dog")
    empty = replace(run, parts=(replace(run.parts[0], events=()),))
    data = opened(coco(empty), tmp_path)
    assert data.getAnnIds() == []
    assert data.loadCats(1)[0]["name"] == "dog"


def test_text_alone_is_refused(captioned):
    with pytest.raises(ExportError, match="marks no place"):
        coco(captioned)


@pytest.mark.parametrize("rows", [[[0, 1], [0, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]], [[1, 0], [0, 1]]])
def test_run_lengths_are_read_back(rows, tmp_path):
    from pycocotools import mask as reader

    given = np.array(rows, dtype=bool)
    packed = reader.frPyObjects({"size": [2, 2], "counts": run_lengths(given)}, 2, 2)
    assert np.array_equal(reader.decode(packed).astype(bool), given)


def test_it_is_ascii_json(detected):
    assert json.loads(coco(detected(HOSTILE)).decode("ascii"))
