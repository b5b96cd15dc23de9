"""What the flags of `dreamscope ask` become, and what they refuse."""

from __future__ import annotations

import json

import pytest

from dreamscope.app.asking import Asked, build_request
from dreamscope.app.cli import build_parser
from dreamscope.app.config import SKILLS, TABLE
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError, load

NEEDS = {"caption": [], "gaze": ["--eye", "0.5,0.5"]}


def request(*arguments: str) -> wire.RequestCreate:
    options = build_parser().parse_args(["ask", "image.png", *arguments])
    return build_request(Asked.from_options(options), load(TABLE, "ask", vars(options), {}))


@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_can_be_asked_for(skill):
    create = request(*NEEDS.get(skill, ["dog"]), "--skill", skill, "--seed", "5")
    assert create.skill == skill
    assert create.settings == {"seed": 5}
    assert create.uncertainty is None
    assert wire.decode(wire.encode(create)) == create


def test_references_keep_their_order():
    create = request("dog", "--skill=segment", "--box=0,0.1,1,0.5", "--point", "0.25,0.75", "--point=1,0")
    assert create.spatial_refs == ((0, 0.1, 1, 0.5), (0.25, 0.75), (1, 0))
    assert create.object == "dog"
    assert request("--object", "dog", "--skill", "point").object == "dog"


def test_gaze_from_an_eye_or_a_face():
    eye = request("--skill=gaze", "--eye=0.3,0.4", "--force")
    assert (eye.eye, eye.face, eye.force_detect) == ((0.3, 0.4), None, True)
    assert request("--skill=gaze", "--face=0.1,0.2,0.3,0.4").face == wire.Box(0.1, 0.2, 0.3, 0.4)


def test_formats_and_schema(tmp_path):
    assert request("x").response_format is None
    assert request("x", "--format", "csv").response_format == {"type": "csv"}
    assert request("x", "--format", "json").response_format == {"type": "json_object"}
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    assert request("x", "--schema", str(file)).response_format == wanted
    assert request("x", "--schema", str(file), "--format=json").response_format == wanted


def test_a_preset_needs_no_question_and_decides_about_reasoning():
    create = request("--preset", "tags")
    assert (create.preset, create.question, create.reasoning) == ("tags", None, None)
    assert request("--preset", "tags", "--no-reasoning").reasoning is False
    assert request("What?", "--preset", "tags").question == "What?"


def test_adapter_and_uncertainty():
    create = request("x", "--adapter", "dogs@20", "--uncertainty")
    assert (create.variant, create.uncertainty) == ("dogs@20", True)


def test_chat_alternates_and_shows_the_image_first():
    create = request("And cats?", "--skill=chat", "--message", "How many dogs?", "--message", "Three.")
    assert [turn.role for turn in create.messages] == ["user", "assistant", "user"]
    first = create.messages[0].content
    assert first == [{"type": "image", "image_id": "image"}, {"type": "text", "text": "How many dogs?"}]
    assert [turn.content for turn in create.messages[1:]] == ["Three.", "And cats?"]
    assert create.image_id is None
    assert len(request("Hello", "--skill=chat").messages) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--skill=gaze"], "gaze needs --eye x,y or --face x1,y1,x2,y2, one of them."),
        (["--skill=gaze", "--eye=0,0", "--face=0,0,1,1"], "one of them."),
        (["--skill=gaze", "--eye=2,0"], "--eye: '2,0' is not x,y with numbers from 0 to 1."),
        (["--skill=gaze", "--eye=0.1"], "--eye: '0.1' is not x,y with numbers from 0 to 1."),
        (["--skill=gaze", "--eye=0.1,nan"], "--eye: '0.1,nan' is not x,y"),
        (["--skill=gaze", "--face=0.5,0,0.4,1"], "is not x1,y1,x2,y2 with x1 up to x2 and y1 up to y2."),
        (["x", "--skill=gaze", "--eye=0,0"], "gaze takes no question."),
        (["x", "--eye=0,0"], "--eye and --face are for gaze, not for query."),
        (["x", "--force"], "--force is for gaze, not for query."),
        (["x", "--skill=detect", "--point=0,0"], "--point and --box are for query and point and segment"),
        (["x", "--point=left"], "--point: 'left' is not x,y with numbers from 0 to 1."),
        (["x", "--skill=point", "--format=csv"], "--format is for query and chat, not for point."),
        (["x", "--skill=chat", "--preset=tags"], "--preset is for query, not for chat."),
        (["x", "--message=a", "--message=b"], "--message is for chat, not for query."),
        (["x", "--skill=chat", "--message=a"], "--message must be given in pairs"),
        (["--skill=chat"], "chat needs a question after the image."),
        (["x", "--object=y", "--skill=point"], "Give the name of the thing once"),
        (["x", "--object=y"], "--object is for point and detect and segment, not for query."),
        (["x", "--schema=nowhere.json"], "--schema nowhere.json: No such file or directory."),
        (["x", "--format=yaml"], "--format: 'yaml' is not one of text, json, xml, markdown, csv."),
    ],
)
def test_what_does_not_fit_is_named(arguments, said):
    with pytest.raises(SettingError) as error:
        request(*arguments)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"{", "not JSON"), (b"[1]", "is an object"), (b"\xff\xfe{", "not a text file in UTF-8")],
)
def test_a_schema_file_that_is_none_is_named(tmp_path, text, said):
    file = tmp_path / "schema.json"
    file.write_bytes(text)
    with pytest.raises(SettingError) as error:
        request("x", "--schema", str(file))
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_schema_and_another_format_are_a_contradiction(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({"type": "object"}))
    with pytest.raises(SettingError, match="--schema asks for JSON, --format for csv"):
        request("x", "--schema", str(file), "--format", "csv")
