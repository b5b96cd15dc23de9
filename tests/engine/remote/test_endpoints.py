"""What people say about endpoints, and what is answered to mistakes; no key is ever quoted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.remote.endpoints import CLOUD_MODELS, Endpoint, configured_endpoints
from dreamscope.engine.remote.key import Key, KeySource
from dreamscope.engine.settings import SettingError, load

SECRET = "sk-do-not-tell-0123456789"
CLOUD = "https://api.moondream.ai/v1"


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str) -> tuple[Endpoint, ...]:
        file = tmp_path / "endpoints.toml"
        file.write_text(text, "utf-8")
        return configured_endpoints((), (), file)

    return write


def test_flags_may_be_repeated_or_joined() -> None:
    flags = {"endpoint": ["a=http://a", "b=http://b:1/x/,c=https://c"], "endpoint_key": ["b=env:B"]}
    values = load(SETTINGS, "serve", flags, {})
    a, b, c = configured_endpoints(values["endpoint"], values["endpoint_key"], values["endpoints"])
    assert [each.url for each in (a, b, c)] == ["http://a/v1", "http://b:1/x", "https://c/v1"]
    assert (b.key, a.key) == (KeySource(env="B"), KeySource())
    assert a.kind is a.models is a.price is None, "to be asked"


def test_the_cloud_is_known() -> None:
    (cloud,) = configured_endpoints((f"cloud={CLOUD}/",), (), None)
    assert (cloud.url, cloud.kind, cloud.models, cloud.nearby) == (CLOUD, "moondream", CLOUD_MODELS, False)


def test_a_file_says_more(toml: Any) -> None:
    (lab,) = toml(
        """
        [lab]
        url = "http://[::1]:8000"
        key = "file:~/key"
        kind = "openai"
        models = ["Qwen/Qwen3-VL", "Qwen/Qwen3-VL"]
        skills = ["query"]
        price = { input = 0, output = 1.5 }
        timeout = 5
        concurrency = 2
        """
    )
    assert lab == Endpoint(
        "lab",
        "http://[::1]:8000/v1",
        "openai",
        ("Qwen/Qwen3-VL",),
        ("query",),
        wire.Price(0.0, 1.5, "lab"),
        5.0,
        2,
        KeySource(file=Path("~/key").expanduser()),
    )
    assert lab.nearby


def test_the_file_in_the_readme_is_one(toml: Any) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)\n```", readme, re.S)
    (lab,) = toml(block)
    assert (lab.kind, lab.price) == ("openai", wire.Price(0.1, 0.4, "lab"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "x: it needs a url"),
        ("[x]\nurl = 3", "needs a url"),
        ("[x]\nurl = 'ftp://a'", "the url is like"),
        ("[x]\nurl = 'http://a:99999'", "the url is like"),
        (f"[x]\nurl = 'https://me:{SECRET}@a'", "without user"),
        (f"[x]\nurl = 'https://a/?key={SECRET}'", "without user"),
        ("[x]\nurl = 'http://a'\nkind = 'ollama'", "kind is one of moondream, openai"),
        ("[x]\nurl = 'http://a'\nkind = 'openai'\nskills = ['point']", "skills are of query, caption, chat"),
        ("[x]\nurl = 'http://a'\nmodels = []", "models is a list of names"),
        ("[x]\nurl = 'http://a'\nmodels = [\"a\\nb\"]", "models is a list of names"),
        ("[x]\nurl = 'http://a'\nprice = 3", "dollars per million"),
        ("[x]\nurl = 'http://a'\nprice = { input = -1, output = 1 }", "dollars per million"),
        ("[x]\nurl = 'http://a'\ntimeout = inf", "timeout is a number from 1 to 3600"),
        ("[x]\nurl = 'http://a'\nconcurrency = true", "concurrency is a number"),
        (f"[x]\nurl = 'http://a'\nkey = '{SECRET}'", "env:VARIABLE or file:PATH"),
        (f"[x]\nurl = 'http://a'\napi_key = '{SECRET}'", "unknown is 'api_key'"),
        ("[Moondream]\nurl = 'http://a'", "cannot have the name Moondream"),
        ("['a b']\nurl = 'http://a'", "an endpoint is NAME=URL"),
        ("[A]\nurl = 'http://a'\n[a]\nurl = 'http://a'", "there are two endpoints 'a'"),
        (f"key = '{SECRET}", "this is no TOML file"),
    ],
)
def test_mistakes_in_a_file(toml: Any, text: str, told: str) -> None:
    with pytest.raises(SettingError) as error:
        toml(text)
    assert told in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("urls", "keys", "told"),
    [
        (["cloud"], [], "--endpoint, cloud: the url is like"),
        (["=http://a"], [], "NAME=URL"),
        ([f"cloud={CLOUD}"], [f"cloud={SECRET}"], "say where the key is, env:VARIABLE or file:PATH"),
        ([f"cloud={CLOUD}"], [SECRET], "it begins with NAME= of an endpoint; there is cloud."),
        ([f"cloud={CLOUD}"], ["cloud=env:"], "say where the key is"),
        ([], ["cloud=env:X"], "there is none."),
    ],
)
def test_mistakes_in_flags(urls: list[str], keys: list[str], told: str) -> None:
    with pytest.raises(SettingError) as error:
        configured_endpoints(urls, keys, None)
    assert told in str(error.value)
    assert SECRET not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No such file"):
        configured_endpoints((), (), tmp_path / "none.toml")


def test_keys_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    for source in (KeySource(file=tmp_path / "key"), KeySource(env="K")):
        key = source.read("lab", {"K": f" {SECRET} "})
        assert key is not None
        assert key.headers()["Authorization"] == f"Bearer {SECRET}"
        assert SECRET not in f"{key} {key!r} {source}"
    assert KeySource().read("lab", {}) is None


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "tab\there", "schlüssel", "x" * 5000])
def test_a_key_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    for source in (KeySource(file=tmp_path / "key"), KeySource(file=tmp_path / "none"), KeySource(env="K")):
        with pytest.raises(errors.ModelUnavailable, match="The key of lab is to be in the ") as told:
            source.read("lab", {"K": text})
        assert not text.strip() or text not in told.value.message


def test_a_key_hides_itself_in_json() -> None:
    key = Key('quo"ted-key')
    assert key.hidden('{"error": "bad key quo\\"ted-key", "raw": quo"ted-key}') == (
        '{"error": "bad key ...", "raw": ...}'
    )
    assert Key("EMPTY").hidden("The box is EMPTY") == "The box is EMPTY", "no secret"
