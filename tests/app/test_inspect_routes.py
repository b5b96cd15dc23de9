"""Audit, code, logs and downloads over HTTP, on runs that a fake engine has answered."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from dreamscope.app.asks import parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.cli import main
from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import Search
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.engine import wire
from dreamscope.visualizers import record_json
from dreamscope.visualizers.record import Record

QUERY = {"skill": "query", "question": "How many dogs are there?", "reasoning": True}


@pytest.fixture
async def http(engine, store, serve_routes) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve_routes(engine, store) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
async def run(engine, store, png):
    """Runs an ask to its end and returns its record."""

    async def ask(**asked: Any) -> Record:
        picture = await asyncio.to_thread(store.put_image, normalise(png))
        record = await ask_recorded(engine, store, parse_ask(asked), picture)
        await asyncio.to_thread(store.flush)
        return record

    return ask


def verdicts(answer: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["verdict"] for check in answer["checks"]}


async def test_an_audit_compares_the_answer_with_the_points(http, run):
    record = await run(**QUERY)
    answer = (await http.get(f"/api/runs/{record.id}/audit")).json()
    found = verdicts(answer)
    assert (found["count-points"], found["outside-boxes"]) == ("fine", "unknown")
    assert 'class="audit-detect"' in answer["html"]
    assert answer["summary"].startswith(f"{len(answer['checks'])} checks")


async def test_detect_settles_what_was_not_known(http, run, store):
    record = await run(**QUERY)
    answer = (await http.post(f"/api/runs/{record.id}/audit/detect")).json()
    assert verdicts(answer)["outside-boxes"] == "fine"
    assert 'class="audit-detect"' not in answer["html"]
    runs = store.search(Search(skill="detect")).runs
    assert [(each.prompt, each.model, each.tags) for each in runs] == [("dog", "sprite-2", ("audit",))]
    assert verdicts((await http.get(f"/api/runs/{record.id}/audit")).json())["outside-boxes"] == "fine"
    await http.post(f"/api/runs/{record.id}/audit/detect")
    assert store.search(Search(skill="detect")).total == 1


async def test_audit_and_detect_run_lead_to_each_other(http, run, store):
    record = await run(**QUERY)
    other = await run(skill="query", question="Is there a tree?", reasoning=False)
    answer = (await http.post(f"/api/runs/{record.id}/audit/detect")).json()
    (found,) = store.search(Search(skill="detect", image=record.picture.hash)).runs
    assert [check["run"] for check in answer["checks"] if check["id"] == "outside-boxes"] == [found.id]
    assert answer["boxes"]["layer"].count("detected-line") == 3
    assert 'data-noun="dog"' in answer["boxes"]["legend"]
    back = (await http.get(f"/api/runs/{found.id}/audit")).json()
    assert f'href="/?run={record.id}"' in back["html"]
    assert f'href="/?run={record.id}"' in back["brief"]
    assert other.id not in back["html"]
    assert store.search(Search(skill="detect", image="0" * 64)).total == 0


async def test_the_line_is_the_same_with_and_without_buttons(http, run):
    record = await run(**QUERY)
    answer = (await http.get(f"/api/runs/{record.id}/audit")).json()
    said = "The answer says 3; the reasoning makes 3 points at dogs."
    assert said in answer["line"]
    assert said in answer["brief"]
    assert ("<button" in answer["line"], "<button" in answer["brief"]) == (True, False)


async def test_a_caption_is_checked_against_detect(http, run, store):
    record = await run(skill="caption", length="normal")
    before = (await http.get(f"/api/runs/{record.id}/audit")).json()
    assert len(before["checks"]) > 1
    assert verdicts(before)["caption-detect"] == "unknown"
    after = (await http.post(f"/api/runs/{record.id}/audit/detect")).json()
    assert "unknown" not in {each["verdict"] for each in after["checks"] if each["id"] == "caption-detect"}


async def test_the_marks_alone(http, run):
    record = await run(**QUERY)
    answer = await http.get(f"/api/runs/{record.id}/marks.svg?width=360")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.count('data-ground="g') == 3
    assert "data:image" not in answer.text
    for query in ("?width=0", "?width=x"):
        assert (await http.get(f"/api/runs/{record.id}/marks.svg{query}")).status_code == 400
    assert (await http.get("/api/runs/none/marks.svg")).status_code == 404


async def test_detect_is_for_our_own_page(http, run, store):
    record = await run(**QUERY)
    foreign = {"Origin": "https://evil.example"}
    assert (await http.post(f"/api/runs/{record.id}/audit/detect", headers=foreign)).status_code == 403
    assert store.search(Search(skill="detect")).total == 0


async def test_without_an_engine_detect_says_so(run, store, serve_routes):
    record = await run(**QUERY)
    nowhere = RemoteEngine("ws://127.0.0.1:9")
    async with serve_routes(nowhere, store) as address, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{address}/api/runs/{record.id}/audit/detect")
    assert answer.status_code == 503
    assert "No engine answers" in answer.json()["error"]["message"]


async def test_what_is_not_kept_is_404(http):
    for path in ("audit", "code", "events.html", "metrics.html", "raw.json", "download/coco.json"):
        answer = await http.get(f"/api/runs/none/{path}")
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            404,
            "This run is not in the history.",
        )


async def test_log_figures_and_raw(http, run):
    record = await run(**QUERY)
    log = await http.get(f"/api/runs/{record.id}/events.html")
    assert log.headers["content-type"].startswith("text/html")
    assert log.text.count('class="event"') == len(record.parts[0].events)
    assert "84 ms" in (await http.get(f"/api/runs/{record.id}/metrics.html")).text
    raw = record_json.from_json((await http.get(f"/api/runs/{record.id}/raw.json")).json())
    assert raw.parts[0].events == record.parts[0].events


@pytest.mark.parametrize(
    "asked",
    [
        {
            "skill": "query",
            "question": 'echo "it\'s" $(x)\n犬',
            "reasoning": False,
            "settings": {"seed": "5"},
        },
        {"skill": "detect", "objects": ["dog", 'a "cat"']},
        {"skill": "gaze", "eye": [0.3, 0.6]},
    ],
)
async def test_the_websocket_code_gets_the_same_result(asked, http, run, engine, png, tmp_path):
    record = await run(**asked)
    code = (await http.get(f"/api/runs/{record.id}/code")).json()["websocket"]
    (tmp_path / "again.py").write_text(code, "ascii")
    (tmp_path / "image.png").write_bytes(normalise(png).data)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "again.py",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    events = [json.loads(line) for line in out.decode().splitlines()]
    again = [strip(event["output"]) for event in events if event["type"] == "request.done"]
    first = [strip(wire.result_to_json(part.result)) for part in record.parts]
    assert sorted(map(repr, again)) == sorted(map(repr, first))


def strip(output: dict[str, Any]) -> dict[str, Any]:
    """The result; of an echo the request without what differs by design: its id, the image's, the model."""
    try:
        echoed = json.loads(output.get("answer", ""))
    except ValueError:
        return output
    return {name: value for name, value in echoed.items() if name not in ("request_id", "image_id", "model")}


async def test_code_names_where_the_engine_listens(http, run, engine):
    record = await run(**QUERY)
    answer = (await http.get(f"/api/runs/{record.id}/code")).json()
    assert set(answer) == {"html", "python", "curl", "openai", "websocket"}
    port = engine.status.url.rpartition(":")[2].partition("/")[0]
    assert all(f":{port}" in answer[name] for name in ("python", "curl", "openai", "websocket"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("annotated.png", "image/png"),
        ("annotated.svg", "image/svg+xml"),
        ("result.json", "application/json"),
        ("places.csv", "text/csv; charset=utf-8"),
        ("coco.json", "application/json"),
        ("yolo.zip", "application/zip"),
        ("labelstudio.json", "application/json"),
    ],
)
async def test_downloads(name, kind, http, run):
    record = await run(skill="detect", objects=["dog", '../"<b>\r\n犬'])
    answer = await http.get(f"/api/runs/{record.id}/download/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert "sandbox" in answer.headers["content-security-policy"]
    if name == "annotated.png":
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (64, 48)
    if name == "yolo.zip":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None


async def test_masks_of_an_outline(http, run):
    record = await run(skill="segment", object="dog", model="sprite-3")
    answer = await http.get(f"/api/runs/{record.id}/download/mask.png")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.mode, picture.size) == ("L", (64, 48))
        assert {value for _, value in picture.getcolors()} == {0, 255}


async def test_what_a_run_has_nothing_for_is_said(http, run):
    record = await run(skill="caption", length="short")
    answer = await http.get(f"/api/runs/{record.id}/download/mask.png")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        409,
        "This run has no outline; ask segment for one.",
    )
    refused = (await http.get(f"/api/runs/{record.id}/downloads")).json()["refused"]
    assert refused["mask.png"] == "This run has no outline; ask segment for one."
    assert "result.json" not in refused
    answer = await http.get(f"/api/runs/{record.id}/download/run.exe")
    assert answer.status_code == 404
    assert "coco.json" in answer.json()["error"]["message"]


# ------------------------------------------------------------------------------------------ command line


async def test_the_command_line_reads_history_and_files(http, run, store, tmp_path, capsys):
    record = await run(**QUERY)
    folder = store.storage().folder
    assert main(["audit", record.id, "--data", str(folder), "--json"]) == 0
    assert verdicts(json.loads(capsys.readouterr().out))["count-points"] == "fine"
    exported = tmp_path / "run.dreamscope"
    exported.write_bytes(store.export_run(record.id))
    assert main(["audit", str(exported)]) == 0
    assert "Fine       count-points      The answer says 3" in capsys.readouterr().out


async def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(http, run, store, capsys):
    one, two = await run(**QUERY), await run(**QUERY)
    folder = str(store.storage().folder)
    shared = next(n for n in range(33) if one.id[: n + 1] != two.id[: n + 1])
    assert main(["audit", one.id[: shared + 1], "--data", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == one.id
    assert main(["audit", one.id[:shared], "--data", folder]) == 2
    said = capsys.readouterr().err
    assert all(each.id in said and QUERY["question"] in said for each in (one, two))
    assert said.count("\n") == 1


async def test_the_command_line_says_that_something_wants_a_look(run, tmp_path, capsys):
    record = await run(**QUERY)
    part = record.parts[0]
    done = part.events[-1]
    assert isinstance(done, wire.RequestDone)
    wrong = replace(done, output={**done.output, "answer": "Seven."})
    path = tmp_path / "run.json"
    path.write_text(record_json.dumps(record.with_parts([replace(part, events=(*part.events[:-1], wrong))])))
    assert main(["audit", str(path)]) == 1
    assert "Look       count-points      The answer says 7" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"PK\x03\x04nonsense", b"{}", b"\xff\xfe"])
def test_what_cannot_be_read_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "run"
    if content is not None:
        path.write_bytes(content)
    assert main(["audit", str(path), "--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path}")
    assert err.count("\n") == 1
