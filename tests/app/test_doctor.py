from __future__ import annotations

import json
import socket
import sqlite3
import sys

import pytest

from dreamscope.app.cli import main
from dreamscope.app.commands import doctor


@pytest.fixture
def engine_says(monkeypatch):
    """Puts a program that prints this in the place of the engine's own check."""

    def put(printed: str, status: int = 0, error: str = "") -> None:
        program = f"import sys; print({printed!r}); print({error!r}, file=sys.stderr); sys.exit({status})"
        monkeypatch.setattr(doctor, "engine_command", lambda *words: [sys.executable, "-c", program])

    put("[]")
    put(json.dumps([{"check": "torch", "state": "ok", "said": "2.13", "todo": ""}]))
    return put


def examined(capsys, *flags: str) -> tuple[int, dict[str, dict[str, str]]]:
    status = main(["doctor", "--json", *flags])
    return status, {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_a_sound_machine(engine_says, tmp_path, capsys):
    status, found = examined(capsys, "--data", str(tmp_path / "later"))
    assert status == 0
    assert {name: found[name]["state"] for name in ("torch", "packages", "data folder")} == {
        "torch": "ok",
        "packages": "ok",
        "data folder": "ok",
    }
    assert not (tmp_path / "later").exists()  # looking makes nothing


def test_lines_for_people_say_what_to_do(engine_says, tmp_path, capsys):
    finding = {"check": "device", "state": "fail", "said": "No usable card.", "todo": "Use the CPU."}
    engine_says(json.dumps([finding]))
    assert main(["doctor", "--data", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fail  device       No usable card."
    assert lines[1].strip() == "Use the CPU."


def test_a_taken_port_is_a_warning(engine_says, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, found = examined(capsys, "--data", str(tmp_path), "--port", str(port))
    assert (status, found["page port"]["state"]) == (0, "warn")


def test_an_engine_that_cannot_even_look_is_a_finding(engine_says, tmp_path, capsys):
    engine_says("", status=1, error="ImportError: libgomp.so.1")
    status, found = examined(capsys, "--data", str(tmp_path))
    assert (status, found["engine"]["state"]) == (1, "fail")
    assert "libgomp" in found["engine"]["said"]


def test_a_flag_that_the_engine_refuses_is_one_line(engine_says, tmp_path, capsys):
    engine_says("", status=2, error="usage: x\nx: error: unrecognized arguments: --fly")
    assert main(["doctor", "--fly", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --fly\n"


def test_a_damaged_history_is_told_apart_from_a_sound_one(engine_says, store, tmp_path, capsys):
    file = tmp_path / "data" / "history.db"
    assert examined(capsys, "--data", str(file.parent))[1]["history"]["said"].startswith("0 runs, ")
    (tmp_path / "bad").mkdir()
    sqlite3.connect(tmp_path / "bad" / "history.db").close()
    (tmp_path / "bad" / "history.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    status, found = examined(capsys, "--data", str(tmp_path / "bad"))
    assert (status, found["history"]["state"]) == (1, "fail")
    assert "is damaged" in found["history"]["said"]
