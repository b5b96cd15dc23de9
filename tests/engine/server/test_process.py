"""A real engine process: listening at once, loading, answering over the socket, stopping on a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from dreamscope.engine import wire
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.server.listen import bind, url_of
from dreamscope.engine.settings import SettingError
from dreamscope.engine.weights.random import write_random_checkpoint

TIMEOUT = 90.0
TINY = {
    "text": {
        "dim": 32, "ff_dim": 48, "n_layers": 2, "vocab_size": 290, "max_context": 256,
        "n_heads": 4, "n_kv_heads": 4,
    },
    "vision": {
        "enc_dim": 24, "enc_patch_size": 4, "enc_n_layers": 1, "enc_ff_dim": 40, "enc_n_heads": 2,
        "proj_out_dim": 32, "crop_size": 20, "overlap_margin": 1, "max_crops": 2, "proj_inner_dim": 40,
    },
    "region": {"dim": 32, "coord_feat_dim": 8, "size_feat_dim": 8, "inner_dim": 24},
    "tokenizer": {
        "templates": {
            "caption": {"short": [1, 30, 3], "normal": [1, 31, 3], "long": [1, 32, 3]},
            "query": {"prefix": [1, 40, 2], "suffix": [3]},
            "detect": {"prefix": [1, 41, 2], "suffix": [3]},
            "point": {"prefix": [1, 43, 2], "suffix": [3]},
        }
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-random"
    return write_random_checkpoint(Moondream2Config.from_dict(TINY), folder, seed=3)


class Process:
    """An engine child and the lines it has printed."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.lines: list[str] = []

    async def line(self, word: str) -> str:
        """The rest of the next line that starts with this word."""
        assert self.child.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            while raw := await self.child.stdout.readline():
                self.lines.append(raw.decode().rstrip())
                if self.lines[-1].startswith(word + " "):
                    return self.lines[-1].removeprefix(word + " ")
        raise AssertionError(f"no line {word!r} in {self.lines}")

    async def end(self) -> tuple[int, str]:
        """Exit status and everything printed since."""
        assert self.child.stdout is not None
        rest = await asyncio.wait_for(self.child.stdout.read(), TIMEOUT)
        return await asyncio.wait_for(self.child.wait(), TIMEOUT), rest.decode()


@asynccontextmanager
async def started(*arguments: str, stdin: int | None = None, **environ: str) -> AsyncIterator[Process]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DREAMSCOPE_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dreamscope.engine",
        *arguments,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**clean, "OMP_NUM_THREADS": "1", **environ},
    )
    try:
        yield Process(child)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_serve_answer_and_stop(checkpoint: Path, picture: Callable[..., str]):
    async with started("serve", "--model", str(checkpoint), "--port", "0", "--threads", "1") as process:
        listening = json.loads(await process.line("listening"))
        assert any(listening["url"] in line and "tiny-random" in line for line in process.lines)
        ready = json.loads(await process.line("ready"))
        assert ready == listening
        assert ready["pid"] == process.child.pid
        url = f"ws://127.0.0.1:{ready['port']}/v1/ws"
        async with connect(url, subprotocols=[wire.SUBPROTOCOL], compression=None) as ws:
            await ws.send(wire.encode(wire.Hello()))
            hello = wire.decode(await ws.recv())
            assert isinstance(hello, wire.Ready)
            assert (hello.models[0].id, hello.models[0].loaded) == ("tiny-random", True)
            assert hello.models[0].context_length == 256
            await ws.send(wire.encode(wire.ImagePut("i", picture(30, 20))))
            assert isinstance(wire.decode(await ws.recv()), wire.ImageReady)
            texts = []
            cached = []
            for name in ("first", "second"):
                request = wire.RequestCreate(
                    request_id=name,
                    skill="caption",
                    image_id="i",
                    settings={"temperature": 0, "max_tokens": 12},
                )
                await ws.send(wire.encode(request))
                text = ""
                while True:
                    event = wire.decode(await asyncio.wait_for(ws.recv(), TIMEOUT))
                    if isinstance(event, wire.RequestStarted):
                        cached.append(event.cached_tokens)
                    elif isinstance(event, wire.TextDelta):
                        text += event.delta
                    elif isinstance(event, wire.TERMINAL):
                        break
                assert isinstance(event, wire.RequestDone)
                assert event.output == {"caption": text}
                assert event.metrics.output_tokens <= 12
                texts.append(text)
            assert texts[0] == texts[1]
            assert cached[0] == 0 < cached[1]
            process.child.send_signal(signal.SIGTERM)
            await asyncio.wait_for(ws.wait_closed(), TIMEOUT)
            assert ws.close_code == 1001
        status, rest = await process.end()
        assert status == 0, rest
        assert "Traceback" not in rest


async def test_a_failed_load_ends_the_process_with_the_reason_last(checkpoint: Path, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (broken / name).write_bytes((checkpoint / name).read_bytes())
    (broken / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:1000])
    async with started("serve", "--model", str(broken), "--port", "0") as process:
        status, printed = await process.end()
    assert status == 1
    assert "Traceback" not in printed
    assert printed.strip().splitlines()[-1].startswith("Cannot serve broken: ")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["serve", "--model", "no-such-model"], 1, "sprite-2"),
        (["serve", "--host", "0.0.0.0"], 2, "DREAMSCOPE_API_KEY"),
        (["serve", "--port", "many"], 2, "--port: 'many' is not a whole number from 0 to 65535"),
        (["pull", "no-such-model"], 1, "no-such-model"),
    ],
)
async def test_refusals_are_one_clear_line(arguments, status, said):
    async with started(*arguments) as process:
        got, printed = await process.end()
    assert got == status
    (line,) = printed.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


async def test_the_environment_sets_what_flags_do_not():
    async with started("serve", DREAMSCOPE_ENGINE_PORT="99999") as process:
        status, printed = await process.end()
    assert status == 2
    assert "DREAMSCOPE_ENGINE_PORT" in printed


async def test_it_stops_when_the_process_that_started_it_is_gone(checkpoint: Path):
    flags = ("serve", "--model", str(checkpoint), "--port", "0", "--exit-with-parent")
    async with started(*flags, stdin=asyncio.subprocess.PIPE) as process:
        await process.line("ready")
        assert process.child.stdin is not None
        process.child.stdin.close()  # as the system does when its owner dies
        status, rest = await process.end()
    assert status == 0, rest
    assert "Traceback" not in rest


async def test_local_checkpoints_are_listed(checkpoint: Path):
    async with started("models", "--json", "--models-dir", str(checkpoint.parent)) as process:
        status, printed = await process.end()
    assert status == 0
    listed = {entry["id"]: entry for entry in json.loads(printed)}
    assert (listed["tiny-random"]["state"], listed["tiny-random"]["context_length"]) == ("ready", 256)


async def test_models_as_table_and_json():
    async with started("models", "--json") as process:
        status, printed = await process.end()
    assert status == 0
    listed = {entry["id"]: entry for entry in json.loads(printed)}
    assert set(listed) >= {"sprite-2", "sprite-3", "moondream2", "moondream3-preview", "moondream3.1-9B-A2B"}
    assert {listed[name]["state"] for name in ("sprite-2", "sprite-3")} == {"ready"}
    assert "segment" in listed["sprite-3"]["skills"]
    async with started("models") as process:
        status, printed = await process.end()
    assert status == 0
    assert all(name in printed for name in listed)


@pytest.fixture
def taken():
    """A port with a listener on it, free ports above it not promised."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_moves_on_to_the_next_free_one(taken):
    with bind("127.0.0.1", taken, 21) as listener:
        assert taken < listener.getsockname()[1] <= taken + 20


def test_a_chosen_port_that_is_taken_is_an_error(taken):
    with pytest.raises(SettingError, match=f"--port {taken} is taken"):
        bind("127.0.0.1", taken, 1)


def test_an_address_of_another_machine_is_an_error():
    with pytest.raises(SettingError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 0, 1)


async def test_what_is_written_in_pieces_leaves_at_once():
    """No piece waits until the one before was acknowledged: connections are without Nagle's algorithm."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    listener = bind("127.0.0.1", 0, 1)
    async with await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), sock=listener):
        _, client = await asyncio.open_connection(*listener.getsockname())
        writer = await accepted.get()
        assert writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for each in (writer, client):
            each.close()
            await each.wait_closed()


def test_url_of_an_any_address_is_one_that_can_be_opened():
    with bind("127.0.0.1", 0, 1) as listener:
        port = listener.getsockname()[1]
        assert url_of("127.0.0.1", listener) == f"http://127.0.0.1:{port}"
        assert url_of("0.0.0.0", listener) == f"http://127.0.0.1:{port}"
        assert url_of("::", listener) == f"http://[::1]:{port}"


async def run_to_end(*arguments: str, **environ: str) -> tuple[int, str]:
    async with started(*arguments, **environ) as process:
        return await process.end()


async def test_an_operators_day(checkpoint: Path, picture: Callable[..., str], tmp_path):
    """A key, a server that keeps nothing, a question, its line in the log, a polite end, and the account."""
    environ = {"DREAMSCOPE_DATA": str(tmp_path)}
    status, printed = await run_to_end("keys", "create", "phone", "--limit", "cloud-paid", **environ)
    assert status == 0
    key = printed.split()[-1]
    flags = ("--model", str(checkpoint), "--port", "0", "--threads", "1", "--no-retention")
    flags += ("--log-level", "debug", "--log-format", "json")
    async with started("serve", *flags, **environ) as process:
        url = json.loads(await process.line("ready"))["url"]
        image, question = picture(30, 20), "Where is my passport?"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=TIMEOUT) as http:
            body = {"image_url": image, "question": question, "settings": {"max_tokens": 5}}
            assert (await http.post("/v1/query", json=body)).status_code == 401
            for name in ("mine-1", "mine-2"):
                headers = {"Authorization": f"Bearer {key}", "X-Request-Id": name}
                answer = await http.post("/v1/query", json=body, headers=headers)
                assert answer.status_code == 200, answer.text
                counted = answer.json()["metrics"]
                assert counted["cached_tokens"] == 0  # of the first nothing is left
        told = await run_to_end("stats", "--json", "--url", url, DREAMSCOPE_API_KEY=key)
        assert (told[0], json.loads(told[1])["requests_processed"]) == (0, 2)
        process.child.send_signal(signal.SIGTERM)
        status, rest = await process.end()
    assert status == 0, rest
    printed = "\n".join([*process.lines, rest])
    logged = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    _, ended = (line for line in logged if line["message"] == "request")
    assert (ended["request_id"], ended["key"], ended["skill"]) == ("mine-2", "named:phone", "query")
    assert ended["output_tokens"] == counted["output_tokens"]
    assert [line["status"] for line in logged if line["message"] == "http"] == [401, 200, 200, 200]
    assert not any(secret in printed for secret in (key, question, "passport", image[-40:]))
    (entry,) = json.loads((await run_to_end("keys", "list", "--json", **environ))[1])
    assert entry["last_used"] is not None
    (used,) = entry["usage"].values()
    assert (used["requests"], used["input_tokens"]) == (2, 2 * counted["input_tokens"])
