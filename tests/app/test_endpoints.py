"""Every skill by name, with Gradio's own client and an MCP client, against the whole application."""

from __future__ import annotations

import asyncio
import base64
import json
import re

import pytest
from gradio_client import Client, handle_file

from dreamscope.app.auth import Access, Gate
from dreamscope.app.main import build_app
from dreamscope.app.supervisor import RemoteEngine

KEY = "a key for the test"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CALLS = [
    ("query", {"question": "How many dogs?"}, "answer"),
    ("caption", {"length": "short"}, "caption"),
    ("point", {"object": "dog"}, "points"),
    ("detect", {"object": "dog"}, "objects"),
    ("segment", {"object": "dog", "model": "sprite-3"}, "svg_path"),
    ("gaze", {"eye": [0.3, 0.6]}, "gaze"),
    ("chat", {"messages": [{"role": "user", "content": "echo"}]}, "answer"),
]


@pytest.fixture
async def site(engine, store, serve_routes):
    """The address of the application behind a key."""

    def build(engine, store):
        return Gate(build_app(engine, store), Access(KEY))

    async with serve_routes(RemoteEngine(engine.status.url), store, build) as address:
        yield f"http://{address}"


@pytest.fixture
def photo(tmp_path, png):
    path = tmp_path / "photo.png"
    path.write_bytes(png)
    return handle_file(str(path))


async def test_gradios_client_calls_every_skill(site, store, photo):
    client = await asyncio.to_thread(Client, site, headers=HEADERS, verbose=False)
    for name, arguments, answered in CALLS:
        answer = await asyncio.to_thread(client.predict, image=photo, **arguments, api_name=f"/{name}")
        assert answer[answered], name
        assert not re.search(r"\"(probs|spreads?)\": ", json.dumps(answer)), name
        record = await asyncio.to_thread(store.record, answer["run"])
        assert (record.skill, record.state, record.model) == (name, "done", answer["model"])
        assert record.picture.size == (64, 48)
    turns = json.loads(answer["answer"])["messages"]
    assert turns[0]["content"][0] == {"type": "image", "image_id": "image"}
    answer = await asyncio.to_thread(client.predict, "", "Is it day?", False, api_name="/query")
    assert answer["answer"] == "I see none."


async def test_what_cannot_be_done_is_said(site, photo):
    elsewhere = "http://127.0.0.1:1/a.png"
    cases = [
        ({"image": elsewhere, "question": "x"}, "addresses are not fetched"),
        ({"image": handle_file(elsewhere), "question": "x"}, "addresses are not fetched"),
        ({"image": "ab" * 32, "question": "x"}, "not in the history any more"),
        ({"image": photo, "question": ""}, "Ask a question about the image."),
        ({"image": photo, "question": "x", "settings": {"top_p": 7}}, "Top-p must be a number"),
        ({"image": photo, "question": "fail"}, "The device ran out of memory."),
        ({"image": photo, "question": "die"}, "The engine stopped."),
        ({"image": photo, "question": "after that"}, "No engine answers"),
    ]
    client = await asyncio.to_thread(Client, site, headers=HEADERS, verbose=False)
    for arguments, said in cases:
        with pytest.raises(Exception, match=said):
            await asyncio.to_thread(client.predict, **arguments, api_name="/query")


async def test_without_the_key_nobody_calls(site):
    with pytest.raises(Exception, match=r"401|credentials"):
        await asyncio.to_thread(Client, site, verbose=False)


async def test_an_assistant_calls_the_skills_as_tools(site, store, png):
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamablehttp_client

    image = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    async with (
        streamablehttp_client(f"{site}/gradio_api/mcp/", HEADERS) as (reading, writing, _),
        mcp.ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {name for name, _, _ in CALLS}
        assert tools["detect"].description.startswith("Draw a box around every thing of a kind")
        assert tools["detect"].inputSchema["required"] == ["image", "object"]
        for name, arguments, answered in CALLS:
            called = await session.call_tool(name, {"image": image, **arguments})
            answer = json.loads(called.content[0].text)
            assert answer[answered], name
            assert (await asyncio.to_thread(store.record, answer["run"])).skill == name
        wrong = await session.call_tool("detect", {"image": "http://127.0.0.1:1/a.png", "object": "dog"})
        assert wrong.isError
        assert "addresses are not fetched" in wrong.content[0].text
