from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from dreamscope.app.cli import main
from dreamscope.app.terminal import Terminal
from dreamscope.engine import wire


@pytest.fixture
def image(tmp_path, png):
    path = tmp_path / "scene.png"
    path.write_bytes(png)
    return str(path)


async def _ask(engine, *arguments: str) -> tuple[int, str, str]:
    """Run the command line as a program against the fake engine: status, stdout, stderr."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dreamscope.app", "ask", *arguments, "--engine", engine.status.url,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_streams_plain_text_with_coordinates(engine, image):
    status, out, err = await _ask(engine, image, "How many dogs are there?")
    assert status == 0
    assert "I see a dog (0.270, 0.720) by the tree" in out
    assert out.endswith("\n\nThree.\n")
    assert "\x1b" not in out
    assert "61 tokens" in err


@pytest.mark.parametrize("words", [("dog", "--skill=point"), ("--skill=point", "dog")])
async def test_the_question_may_follow_the_flags(engine, image, words):
    status, out, err = await _ask(engine, image, *words, "--json")
    assert status == 0, err
    assert json.loads(out)["points"]


async def test_a_reader_that_leaves_early_is_no_error(engine, image):
    import asyncio

    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dreamscope.app", "ask", image, "dog", "--skill=point", "--json",
        "--engine", engine.status.url, stdout=writer, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writer)
    _, err = await process.communicate()
    assert process.returncode == 141
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


@pytest.mark.parametrize(
    "more", [("dog", "--skill=detect"), ("dog", "--skill=detect", "--json"), ("How many?",)]
)
async def test_the_picture_is_saved_although_the_reader_has_left(engine, image, tmp_path, more):
    import asyncio

    saved = tmp_path / "marks.png"
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dreamscope.app", "ask", image, *more, "--save", str(saved),
        "--engine", engine.status.url, stdout=writer, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writer)
    _, err = await process.communicate()
    assert process.returncode == 141
    assert b"Traceback" not in err
    with Image.open(saved) as picture:
        assert picture.size == (64, 48)


async def test_json_is_the_native_result(engine, image):
    status, out, _ = await _ask(engine, image, "dog", "--skill", "point", "--json")
    result = json.loads(out)
    assert status == 0
    assert result["count"] == 3
    assert result["points"][0] == {"x": 0.27, "y": 0.72}
    assert result["metrics"]["output_tokens"] == 61


async def test_saves_svg_and_png(engine, image, tmp_path):
    for name in ("marks.svg", "marks.png"):
        status, _, err = await _ask(engine, image, "dog", "--skill", "detect", "--save", str(tmp_path / name))
        assert status == 0, err
    assert 'data-ground="b2"' in (tmp_path / "marks.svg").read_text()
    with Image.open(tmp_path / "marks.png") as picture:
        assert picture.size == (64, 48)
        assert len(picture.getcolors(10_000)) > 1


async def test_settings_reach_the_engine(engine, image):
    _, out, _ = await _ask(engine, image, "echo", "--no-reasoning", "--seed", "3", "--top-p=0.5", "--json")
    create = json.loads(json.loads(out)["answer"])
    assert create["settings"] == {"seed": 3, "top_p": 0.5}
    assert create["reasoning"] is False


async def test_an_outline_is_its_box_and_path(engine, image, tmp_path):
    picture = tmp_path / "outline.svg"
    arguments = ["dog", "--skill", "segment", "--model", "sprite-3"]
    status, out, err = await _ask(engine, image, *arguments, "--save", str(picture))
    assert (status, "sprite-3: Reading the weights" in err) == (0, True)
    assert "x 0.140–0.360  y 0.600–0.880\n" in out
    assert "run from 0 to 1 across the box above, y downwards:\nM 0.5 0" in out
    assert "M 0.5 0 L 0.9 0.2 L 1 0.6 L 0.8 1 L 0.2 1 L 0 0.5 L 0.15 0.15 Z\n" in out
    assert 'data-ground="m0"' in picture.read_text()
    _, out, _ = await _ask(engine, image, *arguments, "--json")
    result = json.loads(out)
    assert result["path"].startswith("M 0.5 0 L")
    assert result["bbox"] == {"x_min": 0.14, "y_min": 0.6, "x_max": 0.36, "y_max": 0.88}


async def test_gaze_says_where(engine, image):
    status, out, err = await _ask(engine, image, "--skill", "gaze", "--eye", "0.3,0.6", "--uncertainty")
    assert status == 0, err
    assert out == "  1  x 0.790  y 0.740   68 %: x 0.778–0.802  y 0.720–0.760\n"


async def test_chat_sends_the_conversation(engine, image):
    status, out, err = await _ask(
        engine, image, "echo", "--skill", "chat", "--message", "How many?", "--message", "3", "--json"
    )
    assert status == 0, err
    sent = json.loads(json.loads(out)["answer"])
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]


async def test_json_answers_are_json(engine, image):
    status, out, _ = await _ask(engine, image, "dogs", "--no-reasoning", "--format", "json")
    assert status == 0
    assert json.loads(out)["count"] == 3


async def test_engine_error_is_one_line(engine, image):
    status, _, err = await _ask(engine, image, "fail")
    assert (status, err) == (1, "error: The device ran out of memory.\n")
    status, _, err = await _ask(engine, image, "invalid")
    assert (status, err) == (2, "error: This question is too long.\n")


async def test_engine_dies_in_the_middle(engine, image):
    status, out, err = await _ask(engine, image, "die")
    assert status == 1
    assert "dog" in out
    assert err == "error: The engine closed the connection.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.png", "x"], "nowhere.png: No such file or directory."),
        ([os.path.dirname(__file__), "x"], "Is a directory."),
        ([__file__, "x"], "not an image that can be read; use JPEG, PNG, WEBP, GIF."),
        (["IMAGE"], "query needs a question after the image."),
        (["IMAGE", "  "], "query needs a question after the image."),
        (["IMAGE", "--skill", "point"], "point needs the name of what to look for after the image."),
        (["IMAGE", "x", "--skill", "caption"], "caption takes no question."),
        (
            ["IMAGE", "x", "--skill", "fly"],
            "--skill: 'fly' is not one of query, caption, point, detect, segment, gaze, chat.",
        ),
        (["IMAGE", "x", "--temperature", "9"], "--temperature: '9' is not a number from 0 to 2."),
        (["IMAGE", "x", "--save", "marks.gif"], "--save marks.gif: the name must end in .svg or .png."),
        (["IMAGE", "x", "--save", "no/such/a.png"], "--save no/such/a.png: there is no folder no/such."),
        (["IMAGE", "x", "--engine", "ftp://x"], "is not an engine address"),
        (["IMAGE", "x", "--engine", "ws://x", "--fly"], "ask does not know '--fly'."),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, said, image, capsys):
    status = main(["ask", *(image if word == "IMAGE" else word for word in arguments)])
    err = capsys.readouterr().err
    assert status == 2
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_decompression_bomb_is_named(tmp_path, capsys):
    path = tmp_path / "bomb.png"
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")))
    chunks = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert main(["ask", str(path), "x"]) == 2
    assert capsys.readouterr().err == f"error: {path}: too many pixels; the engine takes up to 50 million.\n"


def test_no_engine_there(image, capsys):
    assert main(["ask", image, "x", "--engine", "ws://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err == "error: No engine answers at ws://127.0.0.1:9/v1/ws.\n"


def _events() -> list[wire.Message]:
    base = {"request_id": "r"}
    return [
        wire.ReasoningDelta(**base, delta="a "),
        wire.SpanOpen(**base, index=0, start=2),
        wire.SpanPoint(**base, index=0, x=0.5, y=0.25),
        wire.ReasoningDelta(**base, delta="dog\x1b[2J"),
        wire.SpanClose(**base, index=0, end=5, points=((0.5, 0.25),)),
        wire.TextDelta(**base, delta="One."),
    ]


def test_terminal_underlines_grounded_words_and_drops_control_characters():
    out = io.StringIO()
    terminal = Terminal(out, ansi=True)
    for event in _events():
        terminal.feed(event)
    terminal.finish(True, "query")
    text = out.getvalue()
    assert "\x1b[4mdog[2J\x1b[24m (0.500, 0.250)" in text
    assert "\x1b[2J" not in text
    assert text.endswith("\x1b[1mOne.\x1b[0m\n")


def test_terminal_says_when_nothing_was_found():
    out = io.StringIO()
    Terminal(out, ansi=False).finish(True, "point")
    assert out.getvalue() == "Nothing found.\n"
