"""The documented shape of a task with predictions."""

from __future__ import annotations

import base64
import json
from xml.etree import ElementTree

import jsonschema
import pytest

from dreamscope.visualizers.exports.labelstudio import labelstudio

PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
VALUES = {
    "rectanglelabels": ("x", "y", "width", "height", "rotation"),
    "keypointlabels": ("x", "y", "width"),
    "polygonlabels": ("points",),
}
PLACE = {"items": PERCENT, "minItems": 2, "maxItems": 2}
NEEDED = ["id", "type", "from_name", "to_name", "value", "image_rotation"]
NEEDED += ["original_width", "original_height"]
RESULT = {
    "type": "object",
    "required": NEEDED,
    "properties": {
        "type": {"enum": sorted(VALUES)},
        "value": {"properties": {"x": PERCENT, "y": PERCENT, "points": {"items": PLACE, "minItems": 3}}},
    },
}
PREDICTION = {
    "type": "object",
    "required": ["model_version", "result"],
    "not": {"required": ["score"]},
    "properties": {"result": {"type": "array", "items": RESULT}},
}
TASK = {
    "type": "object",
    "required": ["data", "predictions"],
    "properties": {
        "data": {"type": "object", "required": ["image"]},
        "predictions": {"type": "array", "minItems": 1, "items": PREDICTION},
    },
}


@pytest.mark.parametrize("which", ["boxes", "points", "outline", "spans"])
def test_the_documented_shape(which, detected, pointed, outlined, grounded, image):
    run = {"boxes": detected("dog", "cat"), "points": pointed, "outline": outlined, "spans": grounded}[which]
    tasks = json.loads(labelstudio(run, image))
    jsonschema.validate(tasks, {"type": "array", "items": TASK})
    (task,) = tasks
    assert base64.b64decode(task["data"]["image"].partition(",")[2]) == image
    config = ElementTree.fromstring(task["meta"]["labeling_config"])
    controls = {node.get("name"): node for node in config.iter() if node.get("toName") == "image"}
    results = task["predictions"][0]["result"]
    assert len({result["id"] for result in results}) == len(results)
    for result in results:
        assert set(VALUES[result["type"]]) <= set(result["value"])
        control = controls[result["from_name"]]
        assert control.tag.lower() == result["type"]
        choices = [node.get("value") for node in control]
        assert result["value"][result["type"]][0] in choices


def test_numbers_are_percent(detected, image):
    box = json.loads(labelstudio(detected("dog"), image))[0]["predictions"][0]["result"][0]["value"]
    assert [box[name] for name in ("x", "y", "width", "height")] == pytest.approx([10, 20, 25, 50])


def test_a_hostile_label_stays_text(detected, image):
    label = '"/><script>$x</script>'
    (task,) = json.loads(labelstudio(detected(label), image))
    config = ElementTree.fromstring(task["meta"]["labeling_config"])
    assert [node.get("value") for node in config.iter("Label")] == [label]
    assert not list(config.iter("script"))
