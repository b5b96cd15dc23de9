"""The systemd unit and the Dockerfile of the README: they start what there is, with settings there are."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dreamscope.engine.cli import build_parser
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.settings import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ENVIRONMENT = {row.env for row in SETTINGS}
LEFT_FOR_FAREWELLS = 10


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return found


def started(command: list[str], environ: dict[str, str]):
    """The settings of a server that is started so."""
    assert command[0].rpartition("/")[2] == "dreamscope"
    assert {name for name in environ if name.startswith("DREAMSCOPE_")} <= ENVIRONMENT
    options = build_parser().parse_args(command[1:])
    return load(SETTINGS, options.command, vars(options), environ)


@pytest.fixture
def unit():
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string(block("ini"))
    return parser


def test_the_unit_starts_a_server_and_gives_it_time_to_stop(unit):
    service = unit["Service"]
    environ = dict(pair.split("=", 1) for pair in shlex.split(service["Environment"]))
    values = started(shlex.split(service["ExecStart"]), environ)
    assert (values["host"], values["log_format"]) == ("0.0.0.0", "json")
    assert values["data"] == Path("/var/lib") / service["StateDirectory"]
    assert int(service["TimeoutStopSec"]) >= values["drain"] + LEFT_FOR_FAREWELLS
    assert service["KillMode"] == "mixed"  # a second signal, to the engine itself, would do no harm


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_the_unit(unit, tmp_path):
    unit["Service"]["ExecStart"] = "/bin/true"  # that of the README is not installed here
    unit["Service"]["User"] = "root"
    path = tmp_path / "dreamscope.service"
    with path.open("w") as file:
        unit.write(file, space_around_delimiters=False)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in checked.stderr.splitlines() if "dreamscope" in line]
    assert complaints == []


def test_the_dockerfile_starts_a_server_from_what_is_copied():
    lines = [line for line in block("dockerfile").replace("\\\n", " ").splitlines() if line.strip()]
    steps = [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]
    assert steps[0] == ("FROM", "python:3.12-slim")
    assert {word for word, _ in steps} <= {
        "FROM", "RUN", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD",
    }  # fmt: skip
    rest_of = dict(steps)
    environ = dict(pair.split("=", 1) for pair in shlex.split(rest_of["ENV"]))
    values = started(json.loads(rest_of["CMD"]), environ)
    assert (values["host"], str(values["port"])) == ("0.0.0.0", rest_of["EXPOSE"])
    assert str(values["data"]) == rest_of["VOLUME"]
    probe = json.loads(rest_of["HEALTHCHECK"].partition("CMD ")[2])
    compile(probe[2], "probe", "exec")
    assert f":{values['port']}/health" in probe[2]
    stop = int(re.search(r"--stop-timeout (\d+)", README)[1])
    assert stop >= values["drain"] + LEFT_FOR_FAREWELLS
