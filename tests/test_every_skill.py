"""`dreamscope ask` with every skill of both shipped models, through one real engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCENES = ROOT / "static" / "scenes"
Result = dict[str, Any]


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The address of an engine that serves both Sprites."""
    child = subprocess.Popen(
        [sys.executable, "-m", "dreamscope.engine", "serve", "--port", "0", "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    facts = next(line for line in child.stdout if line.startswith("ready "))
    yield json.loads(facts.removeprefix("ready "))["url"].replace("http", "ws", 1)
    child.stdin.close()
    child.stdout.read()
    assert child.wait() == 0


@pytest.fixture(params=["sprite-2", "sprite-3"])
def ask(engine: str, request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Runs the command with a model and returns the result that it prints."""

    def run(scene: str, *arguments: str) -> Result:
        process = subprocess.run(
            [
                *(sys.executable, "-m", "dreamscope.app", "ask", str(SCENES / scene), *arguments),
                *("--model", request.param, "--engine", engine, "--json", "--temperature=0"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        result: Result = json.loads(process.stdout)
        return result

    return run


def test_query(ask):
    result = ask("meadow.png", "How many dogs are there?")
    assert result["answer"] == "3"
    assert [len(ground["points"]) for ground in result["reasoning"]["grounding"]] == [1, 1, 1]
    assert "reasoning" not in ask("meadow.png", "Is there a tree?", "--no-reasoning")


def test_caption(ask):
    captions = {length: ask("shore.png", "--skill=caption", f"--length={length}")["caption"]
                for length in ("short", "normal", "long")}  # fmt: skip
    assert all("whale" in caption for caption in captions.values())
    assert len(captions["short"]) < len(captions["normal"]) < len(captions["long"])


def test_point_and_detect(ask):
    assert len(ask("night.png", "star", "--skill=point")["points"]) == 4
    boxes = ask("shore.png", "boat", "--skill=detect")["objects"]
    assert [box["x_min"] < 0.5 for box in boxes] == [True, False]


def test_gaze(ask):
    """Which the Sprites have not learned: that there is an answer is all that can be said of it."""
    for source in ("--eye=0.53,0.55", "--face=0.45,0.5,0.6,0.65"):
        result = ask("meadow.png", "--skill=gaze", source, "--force")
        assert 0 <= result["gaze"]["x"] <= 1


def test_chat(ask):
    assert isinstance(ask("meadow.png", "--skill=chat", "Is there a dog?")["answer"], str)


def test_json_keeps_its_schema(ask, tmp_path):
    schema = tmp_path / "schema.json"
    kind = {"enum": ["dog", "cat", "horse"]}
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"animal": kind, "there": {"type": "boolean"}},
                "required": ["animal", "there"],
                "additionalProperties": False,
            }
        )
    )
    answer = json.loads(ask("meadow.png", "Which animal is there?", f"--schema={schema}")["answer"])
    assert answer["animal"] in kind["enum"]
    assert isinstance(answer["there"], bool)


def test_spreads_only_if_asked_for(ask):
    plain = ask("night.png", "star", "--skill=point")
    spread = ask("night.png", "star", "--skill=point", "--uncertainty")
    assert "spread" not in plain["points"][0]
    assert 0 < spread["points"][0]["spread"]["x"]["p"] <= 1


def test_segment(ask, request):
    if "sprite-2" in request.node.name:
        pytest.skip("Moondream 2 has no such skill, and so has its miniature not.")
    result = ask("shore.png", "whale", "--skill=segment")
    box = result["bbox"]
    assert box["x_min"] < 0.4 < box["x_max"]
    assert box["y_min"] < 0.7 < box["y_max"]
    assert result["path"].startswith("M ")
    assert result["path"].endswith("Z")
    right = ask("shore.png", "boat", "--skill=segment", "--point=0.63,0.3")["bbox"]
    left = ask("shore.png", "boat", "--skill=segment", "--box=0.1,0.2,0.32,0.5")["bbox"]
    assert left["x_max"] < 0.45 < right["x_min"]
