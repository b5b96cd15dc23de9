"""`keys` and `stats`: what the operator of a server types."""

from __future__ import annotations

import json

import pytest

from dreamscope.engine.cli import main
from dreamscope.engine.keys_command import table
from dreamscope.engine.server.charges import cost_of
from dreamscope.engine.server.keystore import Key, KeyStore, Usage
from dreamscope.engine.stats_command import table as shown


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a command in a data folder of its own; exit status, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments, {"DREAMSCOPE_DATA": str(tmp_path)})
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_key_is_shown_once_listed_and_revoked(run, tmp_path):
    store = KeyStore(tmp_path)
    assert run("keys", "list")[1].startswith("There are no keys")
    status, out, err = run("keys", "create", "phone", "--limit", "cloud-free")
    assert (status, store.find(out.strip()).name) == (0, "phone")
    assert "once" in err
    store.add({("phone", "moondream2"): Usage(3, 1_000_000, 10_000)}, {"phone": 0.0})
    (entry,) = json.loads(run("keys", "list", "--json")[1])
    assert (entry["name"], entry["requests_per_second"], entry["revoked"]) == ("phone", 2.0, None)
    assert entry["usd"] == entry["usage"]["moondream2"]["usd"] == pytest.approx(0.30 + 0.025)
    listed = run("keys", "list")[1]
    assert "$0.3250" in listed
    assert out.strip() not in listed
    status, said, _ = run("keys", "revoke", "phone")
    assert status == 0
    assert str(store.path) in said  # how to need none again
    assert "revoked" in run("keys", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "create", "a b"), "letters"),
        (("keys", "create", "a", "--limit", "fast"), "cloud-free or cloud-paid"),
        (("keys", "create", "a", "--limit", "0"), "above 0"),
        (("keys", "create", "a", "--limit", "nan"), "above 0"),
        (("keys", "revoke", "nobody"), "In use: none"),
        (("stats", "--url", "ftp://x"), "http"),
        (("stats", "--every", "0"), "--every"),
    ],
)
def test_refusals_are_one_clear_line(run, arguments, said):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_stats_of_nobody_say_how_to_start_one(run):
    status, _, err = run("stats", "--url", "http://127.0.0.1:9")
    assert status == 1
    assert "dreamscope serve" in err


def test_the_account_of_the_key_stands_under_the_statistics():
    account = {"name": "my_phone", "requests": 1234, "input_tokens": 1, "output_tokens": 2, "usd": 0.325}
    *_, name, requests, _, _, cost = shown({"status": "running", "account": account}).splitlines()
    assert name.split() == ["your", "key", "my_phone"]
    assert requests.split() == ["your", "requests", "1,234"]
    assert cost.split() == ["would", "have", "cost", "$0.3250"]
    assert shown({"status": "running", "account": {**account, "usd": None}}).endswith("  –\n")
    assert "your" not in shown({"status": "running"})


def test_costs_are_those_of_models_with_a_published_price():
    assert cost_of({"sprite-2": Usage(1, 10, 10)}) is None
    assert cost_of({"sprite-2": Usage(1, 10, 10), "moondream3.1-9B-A2B": Usage(1, 0, 10**6)}) == 1.0
    _, row, _ = table([Key("a", None, 0.0, usage={"sprite-2": Usage(1, 10, 1)})])
    assert row.split()[-1] == "–"
