"""Where the history is kept, and the settings that say so."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from dreamscope.app.config import TABLE
from dreamscope.app.data import open_history
from dreamscope.engine.settings import SettingError, data_folder, load


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, Path("/data/dreamscope")),
        ("linux", {"XDG_DATA_HOME": "not/absolute"}, Path.home() / ".local/share/dreamscope"),
        ("linux", {}, Path.home() / ".local/share/dreamscope"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, Path.home() / "Library/Application Support/dreamscope"),
        ("win32", {"LOCALAPPDATA": "/users/me/Local"}, Path("/users/me/Local/dreamscope")),
        ("win32", {}, Path.home() / "AppData/Local/dreamscope"),
    ],
)
def test_each_system_has_its_folder(platform, environ, expected):
    assert data_folder(environ, platform) == expected


def opened(environ, **flags):
    values = load(TABLE, "up", flags, environ)
    return contextlib.closing(open_history(values, environ))


def test_without_a_setting_the_folder_of_the_system_is_used(tmp_path):
    with opened(
        {"XDG_DATA_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    ) as store:
        assert store.storage().folder == data_folder({"XDG_DATA_HOME": str(tmp_path)}, "linux")
        assert store.storage().limit == 5000


def test_the_settings_say_where_and_how_much(tmp_path):
    wanted = tmp_path / "a" / "b"
    with opened({"DREAMSCOPE_HISTORY_LIMIT": "7"}, data=str(wanted)) as store:
        assert store.storage().folder == wanted
        assert store.storage().limit == 7
        assert (wanted / "history.db").exists()


def test_switched_off_nothing_is_written_to_the_folder(tmp_path):
    with opened({}, data=str(tmp_path), history="off") as store:
        assert store.storage().folder is None
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags", [{"data": ""}, {"data": __file__}, {"history_limit": "0"}, {"history": "maybe"}]
)
def test_settings_that_cannot_be_are_named(flags, tmp_path):
    (name,) = flags
    with pytest.raises(SettingError, match="--" + name.replace("_", "-")):
        load(TABLE, "up", flags, {})


def test_a_folder_that_cannot_be_made_is_named_on_the_command_line(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("x")
    command = [
        sys.executable,
        "-m",
        "dreamscope.app",
        "web",
        "--port",
        "7981",
        "--data",
        str(taken / "below"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --data: The data folder")
    assert len(done.stderr.splitlines()) == 1
