"""The real clients of Moondream and OpenAI, unchanged, against a live engine with both Sprites.

`.ci/run` installs what `pip install -e '.[dev]'` does not: Moondream's Python client without its
dependencies, which are its own engine with hundreds of megabytes of GPU kernels, and its client for Node.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Picture, Record
from dreamscope.visualizers.snippets.html import snippets

ROOT = Path(__file__).resolve().parents[1]
SCENE = ROOT / "static" / "scenes" / "meadow.png"
QUESTION = "How many dogs are there?"
GREEDY = {"temperature": 0}
NODE_CLIENT = Path(os.environ.get("DREAMSCOPE_NODE_CLIENT", ROOT / "build" / "node"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where an engine listens, `http://host:port`; every request that a test made is over at the end."""
    command = [sys.executable, "-m", "dreamscope.engine", "serve", "--port", "0", "--exit-with-parent"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    facts = next(line for line in child.stdout if line.startswith("ready "))
    url = json.loads(facts.removeprefix("ready "))["url"]
    yield url
    with urllib.request.urlopen(f"{url}/v1/stats") as answer:
        stats = json.load(answer)
    child.stdin.close()
    child.stdout.read()
    assert child.wait() == 0
    assert (stats["processing"], stats["queue_size"]) == (0, 0)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.open(SCENE).convert("RGB")


@pytest.fixture(scope="module")
def image_url() -> str:
    return "data:image/png;base64," + base64.b64encode(SCENE.read_bytes()).decode()


# ------------------------------------------------------------------------------------- moondream, in Python


@pytest.fixture(scope="module")
def moondream() -> Any:
    if "DREAMSCOPE_NEEDS_CLIENTS" in os.environ:
        import moondream

        return moondream
    return pytest.importorskip("moondream", reason="pip install --no-deps moondream")


@pytest.fixture
def sprite2(moondream, address):
    return moondream.vl(endpoint=f"{address}/v1/")  # the slash makes it ask for /v1//caption


@pytest.fixture
def sprite3(moondream, address):
    return moondream.vl(endpoint=f"{address}/v1", model="sprite-3", api_key="any")


def test_caption(sprite2, image):
    plain = sprite2.caption(image, length="short", settings=GREEDY)["caption"]
    streamed = sprite2.caption(image, length="short", settings=GREEDY, stream=True)["caption"]
    assert "dogs" in plain
    assert "".join(streamed) == plain


def test_query_with_reasoning(sprite2, image):
    told = sprite2.query(image, QUESTION, reasoning=True, settings=GREEDY)
    assert told["answer"] == "3"
    spans = told["reasoning"]["grounding"]
    words = [told["reasoning"]["text"][span["start_idx"] : span["end_idx"]].strip() for span in spans]
    assert words == ["dog 1", "dog 2", "dog 3"]
    assert all(0 <= value <= 1 for span in spans for point in span["points"] for value in point)
    chunks = sprite2.query(image, QUESTION, reasoning=True, settings=GREEDY, stream=True)["answer"]
    assert "".join(chunks) == "3"
    assert "reasoning" not in sprite2.query(image, QUESTION, settings=GREEDY)


def test_a_question_without_an_image(sprite2):
    assert isinstance(sprite2.query(question="Why?", settings={"max_tokens": 4})["answer"], str)


def test_detect_and_point(sprite2, image):
    boxes = sprite2.detect(image, "dog")["objects"]
    points = sprite2.point(image, "dog")["points"]
    assert len(boxes) == len(points) == 3
    for box, point in zip(boxes, points, strict=True):
        assert box["x_min"] <= point["x"] <= box["x_max"]
    assert len(sprite2.detect(image, "dog", settings={"max_objects": 1})["objects"]) == 1
    assert sprite2.detect(image, "pizza")["objects"] == []


def test_segment(sprite3, image):
    asked = {"spatial_refs": [[0.28, 0.75]], "settings": GREEDY}
    plain = sprite3.segment(image, "dog", **asked)
    first, *deltas, last = sprite3.segment(image, "dog", **asked, stream=True)
    assert plain["path"].startswith("M ")
    assert first["bbox"] == last["bbox"] == plain["bbox"]
    assert "".join(delta["chunk"] for delta in deltas) == last["path"] == plain["path"]


def test_chat_with_the_model_that_the_client_names_by_itself(sprite2, image_url):
    content = [{"type": "image_url", "image_url": {"url": image_url}}, {"type": "text", "text": QUESTION}]
    asked = {"messages": [{"role": "user", "content": content}], "settings": {**GREEDY, "max_tokens": 8}}
    told = sprite2.chat(**asked)
    assert told["message"]["role"] == "assistant"
    assert "".join(sprite2.chat(**asked, stream=True)["message"]) == told["message"]["content"]


def test_errors(sprite2, moondream, address, image):
    with pytest.raises(urllib.error.HTTPError) as refused:
        sprite2.segment(image, "dog")
    assert refused.value.code == 400
    assert json.loads(refused.value.read())["error"]["code"] == "unsupported_skill"
    with pytest.raises(urllib.error.HTTPError) as refused:
        list(moondream.vl(endpoint=f"{address}/v1", model="gpt-9").caption(image, stream=True)["caption"])
    assert refused.value.code == 404
    with pytest.raises(urllib.error.HTTPError) as refused:
        list(sprite2.query(image, "Why?", settings={"temperature": 9}, stream=True)["answer"])
    assert refused.value.code == 400


# --------------------------------------------------------------------------------------------------- openai


@pytest.fixture
def client(address):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture
def messages(image_url):
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": image_url}}]
    return [{"role": "user", "content": content}]


def test_completions(client, messages):
    create = client.chat.completions.create
    asked = {"model": "sprite-2", "messages": messages, "temperature": 0, "max_completion_tokens": 8}
    plain = create(**asked)
    assert (plain.object, plain.model, plain.choices[0].message.role) == (
        "chat.completion",
        "sprite-2",
        "assistant",
    )
    assert plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens
    assert 0 < plain.usage.completion_tokens <= 8
    chunks = list(create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == plain.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    with client.chat.completions.stream(**asked) as stream:  # the helper that checks every chunk
        assert stream.get_final_completion().choices[0].message.content == text


def test_reasoning_stands_beside_the_content(client, messages):
    asked = {"model": "sprite-2", "messages": messages, "temperature": 0, "extra_body": {"reasoning": True}}
    message = client.chat.completions.create(**asked).choices[0].message
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert "".join(getattr(delta, "reasoning", "") for delta in deltas) == message.reasoning


def test_an_answer_keeps_its_schema(client, messages):
    schema = {
        "type": "object",
        "properties": {"dogs": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["dogs"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "count", "strict": True, "schema": schema}}
    completion = client.chat.completions.create(model="sprite-2", messages=messages, response_format=form)
    assert isinstance(json.loads(completion.choices[0].message.content)["dogs"], int)


def test_models(client):
    listed = {model.id: model for model in client.models.list()}
    assert listed["sprite-2"].default
    assert client.models.retrieve("moondream/moondream3-preview").id == "moondream3-preview"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("none")
    assert missing.value.code == "model_not_found"


def test_openai_errors(client, messages):
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as unknown:
        create(model="gpt-9", messages=messages)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model="sprite-2", messages=messages, n=2)
    assert (wrong.value.code, wrong.value.param) == ("unsupported_parameter", "n")
    with pytest.raises(openai.BadRequestError):
        create(model="sprite-2", messages=messages, temperature=7, stream=True)


# ------------------------------------------------------------------------------------- moondream, in Node


NODE = """
const { vl } = require('moondream');
const fs = require('node:fs');
(async () => {
  const [endpoint, file] = process.argv.slice(1);
  const model = new vl({ endpoint });
  const image = fs.readFileSync(file);
  const read = async (stream) => {
    let all = '';
    for await (const piece of stream) all += piece;
    return all;
  };
  const told = {
    caption: (await model.caption({ image })).caption,
    streamed: await read((await model.caption({ image, stream: true })).caption),
    answer: (await model.query({ image, question: 'How many dogs are there?', reasoning: true })).answer,
    objects: (await model.detect({ image, object: 'dog' })).objects,
    points: (await model.point({ image, object: 'dog' })).points,
  };
  try { await model.segment({ image, object: 'dog' }); } catch (error) { told.error = String(error); }
  console.log(JSON.stringify(told));
})();
"""


def test_the_client_for_node(address):
    if shutil.which("node") is None or not (NODE_CLIENT / "node_modules" / "moondream").is_dir():
        pytest.skip("needs node, and npm's moondream in the folder that DREAMSCOPE_NODE_CLIENT names")
    program = subprocess.run(
        ["node", "-e", NODE, f"{address}/v1", str(SCENE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=NODE_CLIENT,
    )
    assert program.returncode == 0, program.stderr
    told = json.loads(program.stdout)
    assert "dogs" in told["caption"]
    assert told["streamed"]
    assert told["answer"] == "3"
    assert len(told["objects"]) == len(told["points"]) == 3
    assert "400" in told["error"]


# ---------------------------------------------------------------------- the code that the page hands out


RUNS = {
    "caption": {"length": "short", "settings": GREEDY},
    "query": {"question": QUESTION, "reasoning": True, "settings": GREEDY},
    "detect": {"object": "dog"},
    "point": {"object": "dog"},
    "segment": {"object": "dog", "spatial_refs": ((0.28, 0.75),)},
}
EXPECTED = {"caption": "dog", "query": "3", "detect": "x_max", "point": "0.7", "segment": "M "}


@pytest.mark.parametrize("skill", RUNS)
def test_the_snippets_of_a_run_work_as_they_are(address, moondream, tmp_path, monkeypatch, skill):
    model = "sprite-3" if skill == "segment" else "sprite-2"
    create = wire.RequestCreate(request_id="r", skill=skill, model=model, **RUNS[skill])
    picture = Picture("0" * 64, 640, 480, "image/png")
    parts = (Part(create, "done"),)
    run = Record(id="r", created_at="", skill=skill, model=model, picture=picture, parts=parts)
    monkeypatch.chdir(tmp_path)
    shutil.copy(SCENE, tmp_path / "image.png")
    code = snippets(run, address.replace("http", "ws"))
    said = {name: run_python(code[name]) for name in ("python", "websocket")}
    if skill == "query":
        said["openai"] = run_python(code["openai"])
    if shutil.which("curl") is not None:
        shell = subprocess.run(["sh", "-ec", code["curl"]], capture_output=True, text=True, check=False)
        said["curl"] = shell.stdout + shell.stderr
    for name, text in said.items():
        assert EXPECTED[skill] in text, (name, text)


def test_the_commands_of_the_readme_work_as_they_are(address, moondream, monkeypatch):
    text = (ROOT / "README.md").read_text("utf-8").partition("## From your own code")[2].partition("\n##")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.S)
    assert [language for language, _ in blocks] == ["sh", "python", "python"]
    shell, *programs = (code.replace("http://127.0.0.1:2020", address) for _, code in blocks)
    monkeypatch.chdir(ROOT)
    assert "'answer': '3'" in run_python(programs[0])
    assert "completion_tokens" in run_python(programs[1])
    if shutil.which("curl") is not None:
        told = subprocess.run(["sh", "-ec", shell], capture_output=True, text=True, check=True).stdout
        assert len(json.loads(told)["objects"]) == 3


def run_python(source: str) -> str:
    """What the program prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "snippet", "exec"), {"__name__": "__main__"})
    return printed.getvalue()
