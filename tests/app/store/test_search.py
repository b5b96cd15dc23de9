"""Finding runs again, also with words that no search engine likes."""

from __future__ import annotations

import sqlite3
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamscope.app.store.kinds import Search, StoreError
from dreamscope.app.store.search import match


def titles(store, **query):
    return [run.title for run in store.search(Search(**query)).runs]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dog", True),
        ("DOGS", True),
        ("how man", True),
        ('"many dogs"', True),
        ('"dogs many"', False),
        ('"many dogs', True),
        ("élan", True),
        ("elan", True),
        ("cat", False),
        ("dog NOT cat", False),
        ("dog OR cat", False),
        ("???", False),
        ("dog ???", True),
        ("   ", True),
    ],
)
def test_words_begin_words(store, keep, text, found):
    keep("How many dogs have élan, or not?", title="it")
    assert titles(store, text=text) == (["it"] if found else [])


def test_everything_that_was_said_and_noted_is_searched(store, keep):
    kept = keep("prompted", "answered", title="titled", notes="noted")
    for word in ("prompted", "answered", "titled", "noted"):
        assert titles(store, text=word) == ["titled"]
    store.change(kept.id, notes="something else")
    assert titles(store, text="noted") == []
    assert titles(store, text="something") == ["titled"]


HOSTILE = [
    '"',
    '""',
    "'",
    "*",
    "a*",
    "(",
    "NEAR(",
    "a AND",
    "NOT",
    "title:",
    "^a",
    "a-b",
    "{a}",
    "\\",
    "%",
    "\0",
    "a\0b",
    '"*',
]
HOSTILE += [
    "'; DROP TABLE runs; --",
    '" OR 1=1 --',
    "\ud800",
    "😀",
    "x" * 5000,
    "a " * 3000,
    '"' * 999,
    "-",
    "+a",
    "a:b",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_the_search(store, keep, text):
    keep()
    for field in ("text", "skill", "model", "tag", "since", "until", "state", "comparison"):
        found = store.search(Search(**{field: text}))
        assert found.total == len(found.runs) <= 1


@given(text=st.text(max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_expression_is_one_that_fts_can_read(text):
    expression = match(text)
    if expression is None:
        return
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(a, tokenize = 'porter unicode61 remove_diacritics 2')")
    assert db.execute("SELECT COUNT(*) FROM t WHERE t MATCH ?", (expression,)).fetchone() == (0,)
    db.close()


def test_filters(store, keep):
    keep(title="old", created_at="2026-01-31T23:59:59.999Z", tags=("x",), model="sprite-3")
    keep(title="new", created_at="2026-02-01T00:00:00.000Z", tags=("x", "y"), pinned=True)
    assert titles(store) == ["new", "old"]
    assert titles(store, model="sprite-3") == ["old"]
    assert titles(store, skill="caption") == []
    assert titles(store, tag="x") == ["new", "old"]
    assert titles(store, tag="y") == ["new"]
    assert titles(store, pinned=True) == ["new"]
    assert titles(store, pinned=False) == ["old"]
    assert titles(store, until="2026-01-31") == ["old"]
    assert titles(store, since="2026-02-01") == ["new"]
    assert titles(store, since="2026-01-01", until="2026-02-01T00:00:00.000Z") == ["new", "old"]
    assert titles(store, state="done") == ["new", "old"]
    assert titles(store, state="running") == []


def test_facets_count_what_each_value_would_find(store, keep):
    keep(tags=("x",))
    keep(tags=("x", "y"))
    keep(model="sprite-3")
    found = store.search(Search(model="sprite-2", tag="x"))
    assert found.total == 2
    assert found.facets == {
        "skill": {"query": 2},
        "model": {"sprite-2": 2},
        "state": {"done": 2},
        "tag": {"x": 2, "y": 1},
    }
    assert store.search(Search(model="sprite-2")).facets["model"] == {"sprite-2": 2, "sprite-3": 1}


def test_pages_show_every_run_once_though_new_ones_come(store, keep):
    same_time = "2026-02-01T00:00:00.000Z"
    ids = [keep(created_at=same_time).id for _ in range(7)]
    seen, cursor = [], ""
    while True:
        found = store.search(Search(limit=3, cursor=cursor))
        seen += [run.id for run in found.runs]
        keep()
        cursor = found.next
        if not cursor:
            break
    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["x", "~", "2026~-1", "2026~" + "9" * 30, "a~b~c"])
def test_a_made_up_cursor_is_refused(store, cursor):
    with pytest.raises(StoreError, match="cursor"):
        store.search(Search(cursor=cursor))


def test_ten_thousand_runs_are_searched_well_within_100_ms(store, folder):
    """The middle of several searches, each with its facets and the total."""
    db = sqlite3.connect(folder / "history.db", timeout=10)
    words = ("dog", "cat", "horse", "cow", "pig", "elephant", "rabbit", "turtle", "duck", "fence", "river")
    rows = [
        (
            f"id{n}",
            f"2026-01-{n % 28 + 1:02d}T00:00:00.{n % 1000:03d}Z",
            ("query", "point", "detect")[n % 3],
            ("sprite-2", "sprite-3")[n % 2],
            f"How many {words[n % 11]}s stand by the {words[n % 7]}?",
            f"There are {n % 7} of them. " * 4,
            f"I see a {words[n % 11]} and a {words[n % 7]} near the {words[n % 5]}. " * 12,
        )
        for n in range(10_000)
    ]
    db.executemany(
        "INSERT INTO runs(id, created_at, state, session, skill, model, prompt, answer, reasoning) "
        "VALUES (?, ?, 'done', 's', ?, ?, ?, ?, ?)",
        rows,
    )
    db.executemany(
        "INSERT INTO tags VALUES (?, ?)", [(f"id{n}", f"tag{n % 40}") for n in range(0, 10_000, 3)]
    )
    db.commit()
    db.close()
    for query in (Search(), Search(text="dog"), Search(text="do ri", skill="query"), Search(tag="tag3")):
        times = []
        for _ in range(9):
            begun = time.thread_time()  # other work of the machine does not count
            assert store.search(query).total > 0
            times.append(time.thread_time() - begun)
        assert sorted(times)[len(times) // 2] < 0.1
