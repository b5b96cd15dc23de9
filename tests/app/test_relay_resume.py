"""A run goes on over another connection, as long as the engine knows of it."""

from __future__ import annotations

import json
import os
import signal

from dreamscope.app import words
from dreamscope.app.supervisor import EngineStatus, Phase, RemoteEngine, Supervisor


async def test_a_cut_connection_loses_nothing(page, png, recorded):
    await page.image("i1", png)
    await page.ask(question="cut")
    await page.until_run("lost")
    await page.until_run("done")
    (part,) = (await recorded(page, "done")).parts
    assert [event.seq for event in part.events] == list(range(len(part.events)))
    assert len(part.result.reasoning.grounding) == 3
    assert 'data-ground="g2"' in page.html("marks")
    assert page.html("reasoning").count("by the tree") == 1
    assert page.text("answer") == "Three."
    await page.ask()  # with the image on the new connection
    await page.until_run("done")


async def test_only_what_was_not_seen_is_told_again(page, png, recorded):
    await page.image("i1", png)
    columns = [
        {"column": column, "skill": "query", "question": question, "reasoning": True}
        for column, question in (("0", "hang"), ("1", "cut"))
    ]
    await page.send(compare={"columns": columns})
    await page.until_all("done", "1")
    await page.until_all("running", "0")
    await page.send(stop="0")
    await page.until_all("stopped", "0")
    (part,) = (await recorded(page, "stopped", "0")).parts
    assert [event.seq for event in part.events] == list(range(len(part.events)))
    assert page.html("reasoning", "0").count("by the tree") == 1


async def test_an_engine_that_gave_the_request_up_says_how_it_ended(open_page, engine_script, png, store):
    supervisor = Supervisor(engine_script("--grace=0"))
    supervisor.start()
    await supervisor.wait_ready()
    async with open_page(RemoteEngine(supervisor.status.url), store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask(question="cut and hang")
        await page.until_run("stopped")
        assert "The connection was lost" in page.text("status")
    await supervisor.stop()


async def test_a_new_run_takes_the_place_of_one_that_is_lost(open_page, engine, png, store):
    async with open_page(RemoteEngine(engine.status.url), store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask(question="hang")
        await page.until(lambda m: "g1.0" in json.dumps(m))
        lost = page.begun()["id"]
        os.kill(engine.pid, signal.SIGKILL)
        await page.until_run("lost")
        await page.ask()
        await page.until(lambda m: "begin" in m)
        await page.until(lambda m: words.WAITING_FOR_ENGINE in json.dumps(m))
        store.flush()
        assert store.record(lost).state == "interrupted"


async def test_a_run_is_given_up_when_the_engine_does_not_come_back(open_page, engine, png, store, recorded):
    class Doomed:
        status = engine.status

    doomed = Doomed()
    async with open_page(doomed, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask(question="hang")
        await page.until(lambda m: "g1.0" in json.dumps(m))
        doomed.status = EngineStatus(Phase.FAILED, detail="Not enough memory.")
        os.kill(engine.pid, signal.SIGKILL)
        await page.until_run("interrupted")
        assert words.ENGINE_ENDED in page.text("status")
        await recorded(page, "interrupted")


async def test_a_lost_run_can_be_stopped(open_page, engine, png, store):
    async with open_page(RemoteEngine(engine.status.url), store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.ask(question="hang")
        await page.until(lambda m: "g1.0" in json.dumps(m))
        os.kill(engine.pid, signal.SIGKILL)
        await page.until_run("lost")
        await page.send(stop=True)
        await page.until_run("interrupted")
        assert words.ENGINE_ENDED in page.text("status")
