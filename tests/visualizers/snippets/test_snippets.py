"""Every snippet is valid in its language and says exactly what was asked, whatever that was."""

from __future__ import annotations

import ast
import base64
import io
import json
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Picture, Record
from dreamscope.visualizers.snippets.html import render, snippets
from dreamscope.visualizers.snippets.request import Target

HOSTILE = "it's \"quoted\" \\' $(touch owned) `touch owned` ${x} %s %n {x} \\n\n\r\t\x00#\u2028 "
HOSTILE += "'''\"\"\" 犬😀 </script>"
URL = "ws://127.0.0.1:2020/v1/ws"


def record(*creates: wire.RequestCreate, picture: bool = True, **fields: str) -> Record:
    image = Picture("0" * 64, 8, 6, "image/png") if picture else None
    known = {"id": "r", "created_at": "", "model": "sprite-3", "skill": creates[0].skill}
    return Record(
        **{**known, **fields}, picture=image, parts=tuple(Part(create, "done") for create in creates)
    )


def create(skill: str, **fields: Any) -> wire.RequestCreate:
    return wire.RequestCreate(request_id="r", skill=skill, **fields)


def query(text: str = HOSTILE) -> Record:
    asked = create(
        "query",
        question=text,
        reasoning=True,
        spatial_refs=((0.1, 0.2), (0.1, 0.2, 0.3, 0.4)),
        settings={"temperature": 0.5, "top_p": 0.9, "max_tokens": 100, "seed": 7},
        response_format={
            "type": "json_schema",
            "schema": {"title": text, "properties": {text: {"type": "null"}}},
        },
        uncertainty=True,
    )
    return record(asked, variant="dogs@20")


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "PNG")
    return out.getvalue()


RUNS = {
    "query": query(),
    "text only": record(create("query", question=HOSTILE, reasoning=False), picture=False),
    "caption": record(create("caption", length="short", settings={"seed": 1})),
    "detect": record(create("detect", object=HOSTILE), create("detect", object="cat")),
    "point": record(create("point", object=HOSTILE, spatial_refs=((0.5, 0.5),))),
    "segment": record(create("segment", object=HOSTILE)),
    "gaze": record(create("gaze", eye=(0.3, 0.4), force_detect=True)),
    "names": record(create("detect", object="dog"), model=HOSTILE, variant=HOSTILE),
}


@pytest.mark.parametrize("name", RUNS)
def test_python_compiles_and_is_ascii(name):
    code = snippets(RUNS[name], URL)
    for language in ("python", "openai", "websocket"):
        code[language].encode("ascii")
        ast.parse(code[language])
        compile(code[language], language, "exec")


class Said(dict[str, Any]):
    """A client that keeps what its methods are called with."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self.setdefault(name, []).append(named)


def run_moondream(code: str, monkeypatch, tmp_path: Path) -> tuple[dict[str, Any], Said]:
    said, made = Said(), dict[str, Any]()
    module = types.ModuleType("moondream")
    module.vl = lambda **named: made.update(named) or said  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "moondream", module)
    (tmp_path / "image.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "snippet", "exec"), {})
    return made, said


def test_the_moondream_client_is_called_with_everything_it_can_send(monkeypatch, tmp_path, capsys):
    made, said = run_moondream(snippets(query(), URL)["python"], monkeypatch, tmp_path)
    assert made == {"endpoint": "http://127.0.0.1:2020/v1", "model": "sprite-3/dogs@20"}
    (call,) = said["query"]
    assert call["question"] == HOSTILE
    assert call["spatial_refs"] == [[0.1, 0.2], [0.1, 0.2, 0.3, 0.4]]
    assert call["settings"]["seed"] == 7
    assert "response_format, uncertainty" in snippets(query(), URL)["python"]


def test_every_object_is_a_call(monkeypatch, tmp_path):
    _, said = run_moondream(snippets(RUNS["detect"], URL)["python"], monkeypatch, tmp_path)
    assert [call["object"] for call in said["detect"]] == [HOSTILE, "cat"]


def test_the_openai_client_is_asked_the_question(monkeypatch, tmp_path, capsys):
    asked: dict[str, Any] = {}

    def complete(**named: Any) -> Any:
        asked.update(named)
        return types.SimpleNamespace(choices=[types.SimpleNamespace(message="the answer")])

    def client(**named: Any) -> Any:
        asked.update(named)
        return types.SimpleNamespace(
            chat=types.SimpleNamespace(completions=types.SimpleNamespace(create=complete))
        )

    module = types.ModuleType("openai")
    module.OpenAI = client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openai", module)
    (tmp_path / "image.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)
    exec(compile(snippets(query(), URL)["openai"], "snippet", "exec"), {})
    image, text = asked["messages"][0]["content"]
    assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == png()
    assert text == {"type": "text", "text": HOSTILE}
    assert asked["response_format"]["schema"]["title"] == HOSTILE
    assert (asked["seed"], asked["max_completion_tokens"], asked["extra_body"]) == (
        7,
        100,
        {"reasoning": True},
    )
    assert asked["model"] == "sprite-3/dogs@20"
    assert "the answer" in capsys.readouterr().out


def run_curl(code: str, folder: Path) -> list[dict[str, Any]]:
    """Run the command in a real shell with a `curl` that keeps what it is given."""
    (folder / "image.png").write_bytes(png())
    (folder / "bin").mkdir()
    fake = folder / "bin" / "curl"
    fake.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" >> arguments\ncat >> bodies\necho >> bodies\n")
    fake.chmod(0o755)
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    subprocess.run(["sh", "-eu", "-c", code], cwd=folder, env={"PATH": path}, check=True)
    return [json.loads(line) for line in (folder / "bodies").read_text("ascii").splitlines()]


def test_the_shell_sends_exactly_this_run(tmp_path):
    code = snippets(query(), URL)["curl"]
    assert shlex.split(code, comments=True)
    (body,) = run_curl(code, tmp_path)
    assert base64.b64decode(body.pop("image_url").removeprefix("data:image/png;base64,")) == png()
    asked = wire.to_json(query().parts[0].create)
    assert body == {"model": "sprite-3/dogs@20"} | {
        n: v for n, v in asked.items() if n not in ("request_id", "skill", "on_disconnect")
    }
    assert "http://127.0.0.1:2020/v1/query" in (tmp_path / "arguments").read_text()
    assert not (tmp_path / "owned").exists()


def test_the_shell_asks_for_every_object_and_without_an_image(tmp_path):
    bodies = run_curl(snippets(RUNS["detect"], URL)["curl"], tmp_path)
    assert [body["object"] for body in bodies] == [HOSTILE, "cat"]
    (tmp_path / "more").mkdir()
    (body,) = run_curl(snippets(RUNS["text only"], URL)["curl"], tmp_path / "more")
    assert body == {"model": "sprite-3", "question": HOSTILE, "reasoning": False}


def test_what_has_no_route_says_so():
    code = snippets(RUNS["gaze"], URL)
    assert all("use the websocket" in code[name] for name in ("python", "curl", "openai")[:2])
    assert "'eye': [0.3, 0.4]" in code["websocket"]


@pytest.mark.parametrize(
    ("given", "api", "socket"),
    [
        ("ws://127.0.0.1:2021/v1/ws", "http://127.0.0.1:2021/v1", "ws://127.0.0.1:2021/v1/ws"),
        ("http://127.0.0.1:2021", "http://127.0.0.1:2021/v1", "ws://127.0.0.1:2021/v1/ws"),
        ("wss://host/base/v1/ws", "https://host/base/v1", "wss://host/base/v1/ws"),
        ("http://user:key@host:1", "http://host:1/v1", "ws://host:1/v1/ws"),
        (None, "http://127.0.0.1:2020/v1", "ws://127.0.0.1:2020/v1/ws"),
    ],
)
def test_where_the_engine_listens(given, api, socket):
    target = Target.of(given)
    assert (target.api, target.socket) == (api, socket)


def test_html_is_inert():
    run = query()
    html = render(run, snippets(run, URL))
    assert "</script>" not in html
    assert "${" not in html
    assert html.count("<section") == 5
