from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dreamscope.app import words
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.supervisor import EngineStatus, Phase, RemoteEngine, Supervisor


async def test_grounded_run_arrives_as_fragments(page, png):
    await page.image("i1", png)
    await page.ask()
    await page.until_run("done")
    (begin,) = [m["begin"] for m in page.seen if "begin" in m]
    assert (begin["title"], begin["reasoning"], begin["model"]) == ("Answer", True, "sprite-2")
    assert (begin["comparison"], "parts" in begin) == (None, False)
    assert [m["run"] for m in page.seen if "run" in m] == ["queued", "running", "done"]
    assert 'data-ground="g0"' in page.html("reasoning")
    assert 'data-ground="g2"' in page.html("marks")
    assert page.text("answer") == "Three."
    assert "ttft 84 ms" in page.html("metrics")
    assert page.html("reasoning_time").endswith(" s")


@pytest.mark.parametrize(("skill", "mark"), [("point", "p2"), ("detect", "b2")])
async def test_spatial_runs_number_their_marks(page, png, skill, mark):
    await page.image("i1", png)
    await page.ask(skill, "dog")
    await page.until_run("done")
    assert f'data-ground="{mark}"' in page.html("marks")
    assert f'data-ground="{mark}"' in page.html("list")


async def test_the_request_carries_what_the_form_said(page, png):
    await page.image("i1", png)
    await page.ask(
        question="echo", settings={"temperature": "0.7", "seed": "5"}, reasoning=False, model="sprite-2"
    )
    await page.until_run("done")
    sent = json.loads(page.text("answer"))
    assert sent["uncertainty"] is True
    assert sent["settings"] == {"temperature": 0.7, "seed": 5}
    assert (sent["skill"], sent["question"], sent["reasoning"], sent["model"]) == (
        "query",
        "echo",
        False,
        "sprite-2",
    )


async def test_model_text_is_escaped(page, png):
    await page.image("i1", png)
    await page.ask(question="markup")
    await page.until_run("done")
    answer = page.html("answer")
    assert "<img" not in answer
    assert "&lt;img" in answer
    assert "${" not in answer


async def test_stop_keeps_the_partial_reasoning(page, png):
    await page.image("i1", png)
    await page.ask(question="hang")
    await page.until(lambda m: "g1.0" in json.dumps(m))
    await page.send(stop=True)
    await page.until_run("stopped")
    assert "dog" in page.html("reasoning")
    assert "Stopped" in page.html("status")


async def test_a_second_run_is_refused_while_one_goes_on(page, png):
    await page.image("i1", png)
    await page.ask(question="hang")
    await page.until_run("running")
    await page.ask()
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "prompt", "text": words.RUN_GOES_ON}
    assert (await page.until(lambda m: "run" in m))["run"] == "running"
    await page.send(stop=True)
    await page.until_run("stopped")


async def test_engine_error_ends_the_run(page, png):
    await page.image("i1", png)
    await page.ask(question="fail")
    await page.until_run("failed")
    assert "The device ran out of memory." in page.html("status")


async def test_engine_refusal_goes_beside_the_field(page, png):
    await page.image("i1", png)
    await page.ask(question="invalid")
    message = await page.until(lambda m: "invalid" in m)
    assert message == {"invalid": {"field": "prompt", "text": "This question is too long."}}
    await page.until_run("idle")


async def test_run_without_image(page):
    await page.ask()
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "image", "text": words.IMAGE_MISSING}


async def test_undecodable_image_is_named(page):
    await page.image("i7", b"this is a text file")
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "image", "text": words.IMAGE_UNREADABLE, "id": "i7"}


async def test_image_above_the_limit_is_not_sent_on(page):
    await page.image("i1", b"\0" * (IMAGE_LIMIT_BYTES + 1))
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"]["text"] == words.image_too_big(IMAGE_LIMIT_BYTES)


@pytest.mark.parametrize(
    "frame",
    [
        '{"stop": "9"}',
        '{"stop": {}}',
        '{"compare": 3}',
        "not json",
        "[]",
        '{"run": 3}',
        '{"run": {"skill": "fly"}}',
        '{"image": {}}',
        '{"dance": 1}',
    ],
)
async def test_strange_messages_do_not_end_the_page(page, png, frame):
    await page.send_raw(frame)
    await page.until(lambda m: "invalid" in m)
    await page.image("i1", png)
    await page.ask()
    await page.until_run("done")


async def test_a_run_waits_for_the_image(page, png):
    await page.send(image={"id": "i1"})
    await page.send_raw(png)
    await page.ask()
    await page.until_run("done")


async def test_engine_killed_in_a_run_says_so_and_recovers(supervised_page, engine, png):
    page = supervised_page
    await page.image("i1", png)
    await page.ask(question="hang")
    await page.until(lambda m: "g1.0" in json.dumps(m))
    os.kill(engine.pid, signal.SIGKILL)
    await page.until_run("lost")
    assert "The engine stopped" in page.html("status")
    assert "Restarting" in page.html("status")
    await page.until_engine("ready")
    links = [m["engine"] for m in page.seen if "engine" in m]
    assert words.starting(0) not in [link["detail"] for link in links]  # it restarts, it does not start
    await page.until_run("interrupted")
    assert words.ENGINE_BACK in page.html("status")
    await page.ask()  # the image was given to the new engine
    await page.until_run("done")
    assert page.text("answer") == "Three."


async def test_engine_of_somebody_else_is_not_said_to_restart(page, engine, png):
    await page.image("i1", png)
    await page.ask(question="hang")
    await page.until(lambda m: "g1.0" in json.dumps(m))
    os.kill(engine.pid, signal.SIGKILL)
    await page.until_run("lost")
    assert words.ENGINE_SILENT in page.html("status")
    assert "dog" in page.html("reasoning")


async def test_engine_killed_between_runs_is_a_notice(supervised_page, engine):
    os.kill(engine.pid, signal.SIGKILL)
    link = await supervised_page.until_engine("gone")
    assert link["detail"] == words.engine_gone(supervised=True)
    await supervised_page.until_engine("ready")


async def test_run_before_the_engine_is_there_waits(open_page, engine, png):
    class Late:
        status = EngineStatus(Phase.STARTING)

    late = Late()
    async with open_page(late) as page:
        await page.until_engine("starting")
        await page.image("i1", png)
        await page.ask()
        await page.until(lambda m: "status" in json.dumps(m))
        assert words.WAITING_FOR_ENGINE in page.html("status")
        late.status = engine.status
        await page.until_run("done")


async def test_stop_while_waiting_for_the_engine(open_page, png):
    class Never:
        status = EngineStatus(Phase.STARTING)

    async with open_page(Never()) as page:
        await page.image("i1", png)
        await page.ask()
        await page.until_run("queued")
        await page.send(stop=True)
        await page.until_run("stopped")
        assert "Stopped before anything was written." in page.text("status")


async def test_engine_that_could_not_start(open_page):
    class Broken:
        status = EngineStatus(Phase.FAILED, detail="Not enough memory.")

    async with open_page(Broken()) as page:
        link = await page.until_engine("failed")
    assert link["detail"] == "The engine could not start: Not enough memory."


async def test_a_model_that_is_still_loading(open_page, engine_script, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    supervisor = Supervisor(engine_script(f"--gate={gate}"))
    supervisor.start()
    async with open_page(supervisor) as page:
        link = await page.until(lambda m: "Loading sprite-2" in m.get("engine", {}).get("detail", ""))
        assert link["engine"]["state"] == "starting"
        await asyncio.to_thread(gate.write_bytes, b"load")
        await page.until_engine("ready")
    await supervisor.stop()


async def test_queued_run_says_how_many_are_ahead(page, png):
    await page.image("i1", png)
    await page.ask(question="queue")
    await page.until(lambda m: "2 ahead" in json.dumps(m))
    await page.send(stop=True)
    await page.until_run("stopped")


async def test_unreachable_engine_is_named(open_page):
    async with open_page(RemoteEngine("ws://127.0.0.1:9")) as page:
        link = await page.until_engine("gone")
    assert "ws://127.0.0.1:9" in link["detail"]


async def test_foreign_origin_is_refused(serve_routes, engine):
    async with serve_routes(engine) as address:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"ws://{address}/ws", origin="http://evil.example")
        assert refusal.value.response.status_code == 403
        async with connect(f"ws://{address}/ws", origin=f"http://{address}") as socket:
            assert json.loads(await socket.recv())


async def test_the_models_are_listed_with_what_they_can_do(open_page, engine):
    async with open_page(engine) as page:
        listed = (await page.until_engine("ready"))["models"]
    by_id = {model["id"]: model for model in listed}
    assert by_id["sprite-2"]["loaded"] is True
    assert by_id["sprite-2"]["note"] == words.MODEL_LOADED
    assert "segment" not in by_id["sprite-2"]["skills"]
    assert "segment" in by_id["sprite-3"]["skills"]
    assert by_id["sprite-3"]["adapters"] == ["dogs@20"]
    assert by_id["moondream2"]["note"] == words.MODEL_STATES["download"]
    assert by_id["cloud/moondream3.1"]["note"] == "At cloud"
    assert (by_id["giant"]["state"], by_id["giant"]["reason"]) == ("unavailable", "It needs 80 GB of memory.")


async def test_presets_are_listed(open_page, engine):
    async with open_page(engine) as page:
        presets = (await page.until_engine("ready"))["presets"]
    assert [(each["id"], each["skill"]) for each in presets[:2]] == [("stars", "detect"), ("tags", "query")]
    assert presets[1]["response_format"] == {"type": "json_object"}


async def test_a_model_is_loaded_when_the_page_asks(page):
    await page.send(load="sprite-3")
    progress = await page.until(lambda m: m.get("progress", {}).get("done"))
    assert progress["progress"] == {"model": "sprite-3", "detail": "Reading the weights", "done": 0.25}
    loaded = await page.until(
        lambda m: any(model["id"] == "sprite-3" and model["loaded"] for model in _models(m))
    )
    assert loaded["engine"]["state"] == "ready"


async def test_a_model_that_does_not_load_is_named(page):
    await page.send(load="broken")
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "model", "text": "Its weights end too early."}
    failed = [model for m in page.seen for model in _models(m) if model["state"] == "failed"]
    assert failed[0]["reason"] == "Its weights end too early."


async def test_a_run_waits_for_its_model_and_says_so(page, png):
    await page.image("i1", png)
    await page.ask("segment", "dog", model="sprite-3")
    await page.until_run("done")
    assert "Loading sprite-3, 50%. Reading the weights." in page.text("status")
    assert 'data-ground="m0"' in page.html("marks")


async def test_a_run_whose_model_does_not_load_fails(page, png):
    await page.image("i1", png)
    await page.ask(model="broken")
    await page.until_run("failed")
    assert "Its weights end too early." in page.text("status")


@pytest.mark.parametrize("wanted", [None, 3, "  ", {}])
async def test_a_strange_model_is_refused(page, wanted):
    await page.send(load=wanted)
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "model", "text": words.MODEL_MISSING}


async def test_a_schema_answer_becomes_a_table(page, png):
    await page.image("i1", png)
    await page.ask(question="dogs", format="schema", schema='{"type": "object"}')
    await page.until_run("done")
    assert 'class="structured"' in page.html("answer")


async def test_gaze_draws_a_line_from_the_eye(page, png):
    await page.image("i1", png)
    await page.send(run={"skill": "gaze", "eye": [0.3, 0.6]})
    await page.until_run("done")
    assert "gaze-line" in page.html("marks")
    assert 'class="spread"' in page.html("marks")


def _models(message):
    return message.get("engine", {}).get("models", ())
