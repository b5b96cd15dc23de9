"""The table of settings: precedence, checks, help, flags for a child."""

from __future__ import annotations

import argparse

import pytest

from dreamscope.engine.config import SETTINGS
from dreamscope.engine.settings import (
    Setting,
    SettingError,
    Values,
    add_flags,
    boolean,
    comma_list,
    existing_folder,
    load,
    markdown,
    rows_of,
    to_flags,
)

TABLE = (
    Setting("port", int, 2020, "Where to listen, 100% local.", minimum=0, maximum=65535),
    Setting("ratio", float, 0.5, "A share.", minimum=0, maximum=1),
    Setting("device", str, "auto", "Where to run.", choices=("auto", "cpu")),
    Setting("browser", boolean, True, "Open a browser."),
    Setting("origins", comma_list, (), "Who may connect."),
    Setting("key", str, None, "The key.", secret=True),
    Setting("only_a", str, "x", "For one command.", commands=("a",), variable="special"),
)


def parsed(*arguments: str, command: str = "a", environ: dict[str, str] | None = None) -> Values:
    parser = argparse.ArgumentParser()
    add_flags(parser, TABLE, command)
    return load(TABLE, command, vars(parser.parse_args(arguments)), environ or {})


def test_defaults_without_flags_or_environment():
    values = parsed()
    assert values["port"] == 2020
    assert values["origins"] == ()
    assert values["browser"] is True
    assert values.explicit == frozenset()


def test_flag_beats_environment_beats_default():
    environ = {"DREAMSCOPE_PORT": "1", "DREAMSCOPE_RATIO": "0.25", "DREAMSCOPE_SPECIAL": "y"}
    values = parsed("--port", "2", environ=environ)
    assert (values["port"], values["ratio"], values["only_a"]) == (2, 0.25, "y")
    assert values.explicit == {"port", "ratio", "only_a"}


def test_an_empty_variable_is_unset():
    assert parsed(environ={"DREAMSCOPE_PORT": ""})["port"] == 2020


def test_switches_and_lists():
    assert parsed("--no-browser")["browser"] is False
    assert parsed("--browser", environ={"DREAMSCOPE_BROWSER": "off"})["browser"] is True
    assert parsed(environ={"DREAMSCOPE_BROWSER": "No"})["browser"] is False
    assert parsed("--origins", "http://a, http://b,")["origins"] == ("http://a", "http://b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "--port: 'x' is not a whole number from 0 to 65535"),
        (["--port", "70000"], "--port: '70000' is not a whole number from 0 to 65535"),
        (["--port", "1.5"], "--port"),
        (["--ratio", "nan"], "--ratio: 'nan' is not a number from 0 to 1"),
        (["--ratio", "-1"], "--ratio"),
        (["--device", "tpu"], "--device: 'tpu' is not one of auto, cpu"),
    ],
)
def test_a_bad_flag_names_itself_and_what_is_allowed(arguments, message):
    with pytest.raises(SettingError) as caught:
        parsed(*arguments)
    assert message in str(caught.value)


def test_a_bad_variable_is_named():
    with pytest.raises(SettingError, match="DREAMSCOPE_BROWSER: 'maybe' is not one of 1, true"):
        parsed(environ={"DREAMSCOPE_BROWSER": "maybe"})


def test_a_command_has_only_its_own_settings():
    assert [row.name for row in rows_of(TABLE, "b")] == [row.name for row in TABLE[:-1]]
    with pytest.raises(KeyError):
        parsed(command="b")["only_a"]


def test_flags_for_a_child_reproduce_the_values_and_hide_secrets():
    values = parsed("--port", "7", "--no-browser", "--origins", "a,b", "--key", "hush", "--only-a=-x")
    arguments = to_flags(TABLE, "a", values)
    assert "hush" not in " ".join(arguments)
    again = parsed(*arguments)
    assert dict(again.values) == {**values.values, "key": None}


def test_help_is_generated(capsys):
    parser = argparse.ArgumentParser()
    add_flags(parser, TABLE, "a")
    text = " ".join(parser.format_help().split())
    for row in TABLE:
        assert row.flag in text
        assert row.env in text
    assert "100% local" in text


def test_the_engines_own_table_is_consistent():
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)
    assert len({row.env for row in SETTINGS}) == len(SETTINGS)
    for row in SETTINGS:
        assert row.help.endswith(".")
        if row.default not in (None, ()):
            assert row.parse(str(row.default), "default") == row.default
    for line in markdown(SETTINGS).splitlines():
        assert line.count("|") == 5
    assert [row.name for row in SETTINGS if row.secret] == ["api_key", "parent_key"]


def test_a_folder_must_exist(tmp_path):
    row = Setting("adapters", existing_folder, None, "Folder.", metavar="DIR")
    assert row.parse(str(tmp_path), "--adapters") == tmp_path
    with pytest.raises(SettingError, match=r"--adapters: .*missing' is not a folder that exists\."):
        row.parse(str(tmp_path / "missing"), "--adapters")
