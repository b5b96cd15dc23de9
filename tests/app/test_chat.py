"""`dreamscope chat` as a program, in a pipe and in a terminal, against the fake engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import pytest

from dreamscope.app.commands.typed import Typed, typed
from dreamscope.engine.settings import SettingError

PATIENCE_S = 60.0


@pytest.fixture
def command(engine, png, tmp_path):
    """The arguments that begin a conversation about a picture."""
    (tmp_path / "photo.png").write_bytes(png)
    photo = str(tmp_path / "photo.png")
    return [sys.executable, "-m", "dreamscope.app", "chat", photo, "--engine", engine.status.url]


async def piped(command, *lines: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate("\n".join(lines).encode()), PATIENCE_S)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_pipe_is_answered_line_by_line(command):
    status, out, err = await piped(command, "How many dogs?", "", "echo", "/query echo", "/caption short")
    assert (status, err) == (0, "")
    chat, query = (json.loads(line) for line in out.splitlines() if line.startswith("{"))
    first, answer, last = chat["messages"]
    assert [part["type"] for part in first["content"]] == ["image", "text"]
    assert first["content"][1]["text"] == "How many dogs?"
    assert (answer["role"], answer["content"]) == ("assistant", "Three.")
    assert last["content"] == "echo"
    assert (query["skill"], query["question"], query.get("messages")) == ("query", "echo", None)


async def test_another_image_and_new_begin_anew(command, tmp_path):
    lines = ["one", "/new", "echo", f"/image {tmp_path / 'photo.png'}", "echo"]
    status, out, _ = await piped(command, *lines)
    assert status == 0
    sent = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [len(create["messages"]) for create in sent] == [1, 1]


async def test_a_line_that_fails_is_told_and_the_next_is_answered(command):
    status, out, err = await piped(command, "/fly", "/image no.png", "/query fail", "/point dog")
    assert status == 1
    assert err.splitlines() == [
        "error: There is no /fly; there is /query, /caption, /point, /detect, /segment, /gaze, /model, "
        "/image, /new, /help.",
        "error: no.png: No such file or directory.",
        "error: The device ran out of memory.",
    ]
    assert "x 0.270  y 0.720" in out


async def test_gaze_starts_from_an_eye_or_a_face(command):
    status, out, err = await piped(command, "/gaze 0.4, 0.3", "/gaze 0.3,0.2,0.5,0.4")
    assert (status, err) == (0, "")
    assert out.count("x 0.790  y 0.740") == 2


async def test_the_next_turns_ask_the_model_that_was_chosen(command):
    lines = [
        "/model",
        "one",
        "/model Sprite-3",
        "echo",
        "/query echo",
        "/model nobody",
        "/model giant",
        "/model",
    ]
    status, out, err = await piped(command, *lines)
    assert status == 1
    assert [line for line in out.splitlines() if line.startswith("*")] == [
        "* sprite-2            query caption point detect gaze",
        "* sprite-3            query caption point detect segment gaze",
    ]
    assert "  giant               It needs 80 GB of memory." in out.splitlines()
    sent = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [create["model"] for create in sent] == ["sprite-3", "sprite-3"]
    assert len(sent[0]["messages"]) == 3
    progress, nobody, giant = err.splitlines()
    assert progress == "sprite-3: Reading the weights"
    assert nobody.startswith("error: /model: there is no 'nobody'; there is sprite-2, sprite-3,")
    assert giant == "error: /model: giant cannot be run: It needs 80 GB of memory."


async def test_a_connection_that_broke_is_made_again(command):
    status, out, err = await piped(command, "/query cut", "/point dog")
    assert (status, err) == (1, "error: The engine closed the connection.\n")
    assert "x 0.270  y 0.720" in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
async def test_in_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_ends(command):
    import pty

    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_control
    )
    os.close(theirs)
    seen = ""

    async def until(text: str) -> None:
        nonlocal seen
        async with asyncio.timeout(PATIENCE_S):
            while text not in seen:
                seen += (await asyncio.to_thread(os.read, ours, 4096)).decode()
        seen = seen.partition(text)[2]

    await until("> ")
    os.write(ours, b"/query hang\n")
    await until("I see a")
    os.write(ours, b"\x03")
    await until("Stopped.")
    await until("> ")
    os.write(ours, b"/point dog\n")
    await until("x 0.270")
    await until("tok/s")
    await until("> ")
    os.write(ours, b"\x04")
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    os.close(ours)


def _control() -> None:
    """Make standard input the terminal that sends signals, which a shell's background jobs do not hear."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  How many? ", Typed("chat", "How many?")),
        ("", Typed("", "")),
        ("/detect  red car ", Typed("detect", "red car")),
        ("/caption", Typed("caption", "")),
        ("/new", Typed("new", "")),
        ("/model", Typed("model", "")),
        ("/gaze 0.5,0.25", Typed("gaze", "0.5,0.25")),
    ],
)
def test_a_line_is_understood(line, expected):
    assert typed(line) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/point", "needs a noun"),
        ("/image ", "needs a file"),
        ("/gaze", "an eye, x,y, or a face, x1,y1,x2,y2"),
        ("/gaze dog", "/gaze dog: it needs the place of an eye"),
        ("/gaze 0.1,0.2,0.3", "it needs the place of an eye"),
        ("/gaze 0.5,1.5", "in numbers from 0 to 1"),
        ("/caption huge", "short, normal, long"),
        ("/", "no /"),
    ],
)
def test_a_line_that_says_nothing_is_refused(line, said):
    with pytest.raises(SettingError, match=said):
        typed(line)
