from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import sys
import urllib.request

import pytest

from dreamscope.app import cli, up
from dreamscope.app.commands.examples import EXAMPLES
from dreamscope.app.config import SAMPLING, TABLE
from dreamscope.engine.settings import SettingError, load, rows_of


@pytest.mark.parametrize("command", ["up", "ask", "web", "chat", "history", "doctor", "audit"])
def test_help_lists_the_table(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for row in rows_of(TABLE, command):
        assert row.flag in text
        assert row.env in text


EXAMPLE_LINES = [line for text in EXAMPLES.values() for line in text.splitlines() if "dreamscope " in line]


@pytest.mark.parametrize("line", EXAMPLE_LINES)
def test_examples_in_the_help_are_commands_that_there_are(line):
    typed = re.split(r"\s{2,}| \| jq", line.strip().rpartition(" | dreamscope")[2].strip())[0]
    words = shlex.split(typed.removeprefix("dreamscope")) or ["up"]
    if words[0] not in cli.ENGINE_COMMANDS:
        options, rest = cli.build_parser(words[0]).parse_known_args(words)
        load(TABLE, options.command, vars(options), {})
        assert rest == [] or words[0] in cli.PASSING_ON


@pytest.mark.parametrize("command", ["serve", "models", "pull", "keys", "stats"])
def test_engine_commands_are_passed_on(command, monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "run_child", lambda name, words: calls.append((name, list(words))) or 7)
    assert cli.main([command, "--any", "flag"]) == 7
    assert calls == [(command, ["--any", "flag"])]


def test_a_polite_kill_reaches_the_engine(monkeypatch):
    script = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    monkeypatch.setattr(cli, "engine_command", lambda *words: [sys.executable, "-c", script])
    assert cli.run_child("serve", []) == -signal.SIGTERM


@pytest.mark.parametrize("arguments", [[], ["--no-browser"], ["up", "--no-browser"]])
def test_up_is_the_default(arguments, monkeypatch):
    calls = []
    monkeypatch.setattr(up, "up", lambda values, rest, environ, say: calls.append(values["browser"]) or 0)
    assert cli.main(arguments) == 0
    assert calls == [not arguments]


def test_other_flags_go_to_the_engine(monkeypatch):
    seen = []
    monkeypatch.setattr(up, "up", lambda values, rest, environ, say: seen.extend(rest) or 0)
    cli.main(["up", "--device", "cpu", "--threads=1"])
    assert seen == ["--device", "cpu", "--threads=1"]


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["web", "--fly"], ["web", "--engine", "ftp://x"], ["up", "--browser=maybe"]],
)
def test_bad_flags_are_one_line(arguments, capsys):
    try:
        status = cli.main(arguments)
    except SystemExit as stop:  # argparse itself
        status = stop.code
    assert status == 2
    assert "error: " in capsys.readouterr().err


def test_a_taken_port_moves_on():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up.bind("127.0.0.1", port) as listener:
            assert port < listener.getsockname()[1] < port + up.PORTS_TRIED


def test_an_address_of_another_machine_cannot_be_bound():
    with pytest.raises(SettingError, match=r"--host 192\.0\.2\.1"):
        up.bind("192.0.2.1", 7860)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")],
)
def test_page_url(host, url):
    assert up.page_url(host, 1) == url


def test_sampling_settings_have_help_and_range():
    for row in SAMPLING:
        assert row.help.endswith(".")
        assert row.minimum is not None
        assert row.maximum is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_up_serves_and_stops_both_on_a_signal(number, engine_script, tmp_path):
    """The real program with the fake engine in the engine's place."""
    program = (
        "import sys; from dreamscope.app import cli, up; "
        f"up.engine_command = lambda *words: {engine_script()!r}; "
        "sys.exit(cli.main(['up', '--no-browser', '--port', '7950']))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    lines: list[str] = []
    async with asyncio.timeout(60):
        while "The engine is ready" not in "".join(lines[-1:]):
            lines.append((await process.stdout.readline()).decode())
            assert lines[-1], "the program ended early"
        text = "".join(lines)
        url = re.search(r"Dreamscope is at (\S+)", text)[1]
        child = int(re.search(r'ready \{.*"pid": (\d+)', text)[1])
        with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
            assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        process.send_signal(number)
        assert await process.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_up_ends_when_the_engine_cannot_start():
    program = (
        "import sys; from dreamscope.app import cli, up; "
        "up.engine_command = lambda *words: [sys.executable, '-c', 'raise SystemExit(\"no such model\")']; "
        "sys.exit(cli.main(['up', '--no-browser', '--port', '7970']))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "error: the engine could not start: no such model" in err.decode()
