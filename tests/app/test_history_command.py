from __future__ import annotations

import json

import pytest

from dreamscope.app.cli import main
from dreamscope.app.images import normalise


@pytest.fixture
def kept(store, tmp_path, png, make_query, make_detect):
    """What `main(["history", ...])` takes to be at the history, which holds two runs."""
    picture = store.put_image(normalise(png))
    store.begin(make_query(id="a" * 32, picture=picture, title="", created_at="2026-03-01T10:20:30.400Z"))
    store.begin(
        make_detect("dog", id="b" * 32, picture=picture, title="", created_at="2026-03-02T10:20:30.400Z")
    )
    store.flush()
    return lambda *words: main(["history", *words, "--data", str(tmp_path / "data")])


def test_the_latest_run_is_listed_first(kept, capsys):
    assert kept() == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["bbbbbbbb", "aaaaaaaa"]
    assert "How many dogs? → There are 2." in out
    assert err == "2 runs.\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["search", "dogs", "many"], ["a"]),
        (["search", "zebra"], []),
        (["list", "--skill", "detect"], ["b"]),
        (["--since", "2026-03-02"], ["b"]),
        (["list", "--until", "2026-03-01"], ["a"]),
        (["list", "--limit", "1"], ["b"]),
        (["list", "--pinned"], []),
    ],
)
def test_searching(kept, capsys, words, found):
    assert kept(*words, "--json") == 0
    assert [run["id"][0] for run in json.loads(capsys.readouterr().out)] == found


def test_one_run_is_shown(kept, capsys):
    assert kept("show", "aaaa") == 0
    out = capsys.readouterr().out
    assert "Asked     How many dogs?\n" in out
    assert "Answer    There are 2.\n" in out
    assert kept("show", "aaaa", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == "a" * 32


@pytest.mark.parametrize("name", ["run.dreamscope", "places.csv", "dogs-result.json", "annotated.png"])
def test_a_run_is_exported(kept, tmp_path, name):
    assert kept("export", "bbbb", str(tmp_path / name)) == 0
    assert (tmp_path / name).stat().st_size > 0


def test_what_is_deleted_can_be_restored(kept, store, capsys):
    assert kept("delete", "aaaa") == 0
    out, err = capsys.readouterr()
    assert out == "Deleted aaaaaaaa: How many dogs?\n"
    assert store.record("a" * 32) is None
    token = err.split("restore ")[1].split("`")[0]
    assert kept("restore", token) == 0
    assert store.record("a" * 32) is not None


def test_everything_is_deleted_only_when_that_is_sure(kept, store, capsys, monkeypatch):
    assert kept("delete", "everything") == 2
    assert "add --yes" in capsys.readouterr().err
    assert store.storage().runs == 2
    assert kept("delete", "everything", "--yes") == 0
    assert store.storage().runs == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "history has no 'fly'; it has list, search, show, export, delete, restore."),
        (["show"], "history show needs one run."),
        (["show", "cccc"], "cccc: no run of the history has an id that begins with that."),
        (["export", "aaaa", "x.gif"], "x.gif: the name must end in .dreamscope or annotated.png,"),
        (["export", "aaaa", "mask.png"], "mask.png: "),
        (["restore", "nothing"], "nothing: nothing to restore; what was deleted is gone after ten minutes."),
        (["list", "--limit", "0"], "--limit: '0' is not a whole number from 1 to 500."),
        (["delete"], "history delete needs runs, or everything."),
    ],
)
def test_bad_input_is_one_line(kept, capsys, words, said):
    assert kept(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_where_nothing_was_kept_that_is_said(tmp_path, capsys):
    assert main(["history", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} holds no history; --data names another folder.\n"
