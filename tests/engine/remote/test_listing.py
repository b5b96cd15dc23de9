"""`models` with endpoints: what answers, what does not, and no key anywhere."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest

from dreamscope.engine.cli import main
from dreamscope.engine.remote import listing
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.listing import remote_entries

SECRET = "sk-do-not-tell-0123456789"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL where nobody answers: its port is taken, and nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


async def test_models_of_endpoints_are_listed_with_those_here(server, nowhere, tmp_path, monkeypatch, capfd):
    server.on("/v1/models", {"data": [{"id": "Qwen/Qwen3-VL", "owned_by": "vllm"}]})
    (tmp_path / "down.toml").write_text(
        f'[down]\nurl = "{nowhere}"\nkind = "openai"\nmodels = ["m"]\n[gone]\nurl = "{nowhere}"\n'
    )
    monkeypatch.setenv("LAB_KEY", SECRET)
    flags = ["--endpoint", f"lab={server.url}", "--endpoint-key", "lab=env:LAB_KEY"]
    flags += ["--endpoints", str(tmp_path / "down.toml")]
    assert await asyncio.to_thread(main, ["models", "--json", *flags], {}) == 0
    told = capfd.readouterr()
    entries = {entry["id"]: entry for entry in json.loads(told.out)}
    lab, down, gone = (entries[name] for name in ("lab/Qwen/Qwen3-VL", "down/m", "gone"))
    assert (lab["state"], lab["where"], lab["skills"]) == ("ready", server.url, ["query", "caption", "chat"])
    assert (down["state"], gone["state"]) == ("not reachable", "not reachable")
    assert down["reason"].startswith("down cannot be reached")
    assert set(lab) == set(entries["sprite-2"])
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert await asyncio.to_thread(main, ["models", *flags], {}) == 0
    table = capfd.readouterr()
    (row,) = (line for line in table.out.splitlines() if line.startswith("down/m "))
    assert row.split()[1:3] == ["not", "reachable"]
    assert f"{nowhere} (down cannot be reached" in row
    assert SECRET not in told.out + told.err + table.out + table.err


async def test_one_that_says_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(listing, "PATIENCE_S", 0.2)

    async def script(exchange):
        await exchange.hung_up()

    server.on("/v1/models", script)
    (entry,) = await asyncio.to_thread(remote_entries, [Endpoint("slow", server.url)])
    assert (entry["id"], entry["state"]) == ("slow", "not reachable")
    assert "did not answer within 0.2 seconds" in entry["reason"]


async def test_one_that_wants_another_key_is_unavailable(server):
    async def script(exchange):
        await exchange.json({}, 401)

    server.on("/v1/models", script)
    (entry,) = await asyncio.to_thread(remote_entries, [Endpoint("lab", server.url)])
    assert entry["state"] == "unavailable"
