"""Keys in their file: who can read it, what is in it, and what two processes make of it at the same time."""

from __future__ import annotations

import stat

import pytest

from dreamscope.engine.server.bucket import TokenBucket
from dreamscope.engine.server.keystore import FILE, KeysError, KeyStore, Usage


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "data")


def test_without_a_key_there_is_no_file(store):
    assert (store.exists(), store.entries(), store.find("x"), store.named("x")) == (False, [], None, None)
    assert not store.path.exists()


def test_a_key_is_found_and_its_text_is_not_in_the_file(store, tmp_path):
    key = store.create("phone", 2.0)
    other = store.create("laptop")
    assert len(key) > 40
    assert key != other
    found = store.find(key)
    assert (found.name, found.per_second, found.used, found.usage) == ("phone", 2.0, None, {})
    assert store.find(other).per_second is None
    assert store.find(key + "x") is store.find("") is store.find("\ud800") is None
    data = (tmp_path / "data" / FILE).read_bytes()
    assert key.encode() not in data
    assert key.removeprefix("ds_").encode() not in data
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(store):
    store.create("a")
    store.path.chmod(0o644)
    store.create("b")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_revoked_key_is_none_and_its_account_and_name_stay(store):
    key = store.create("phone")
    store.add({("phone", "m"): Usage(1, 10, 5)}, {"phone": 99.0})
    store.revoke("phone")
    assert store.find(key) is store.named("phone") is None
    assert store.exists()
    (entry,) = store.entries()
    assert entry.revoked is not None
    assert entry.usage == {"m": Usage(1, 10, 5)}
    with pytest.raises(KeysError, match="another name"):
        store.create("phone")
    with pytest.raises(KeysError, match="In use: none"):
        store.revoke("phone")


def test_accounts_add_up_by_model_from_several_processes(store):
    store.create("a")
    other = KeyStore(store.path.parent)
    store.add({("a", "m"): Usage(1, 10, 5), ("a", "n"): Usage(1, 1, 1)}, {"a": 7.0})
    other.add({("a", "m"): Usage(2, 20, 6)}, {"a": 5.0})
    (entry,) = store.entries()
    assert entry.usage == {"m": Usage(3, 30, 11), "n": Usage(1, 1, 1)}
    assert entry.used == 7.0


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, "a/b", "a\n"])
def test_strange_names_are_refused_with_what_is_allowed(store, name):
    with pytest.raises(KeysError, match="letters, digits"):
        store.create(name)
    assert not store.exists()


def test_what_is_no_file_of_keys_lets_nobody_in(store):
    store.path.parent.mkdir()
    store.path.write_text("x" * 5000)
    for ask in (store.entries, lambda: store.find("a"), lambda: store.revoke("a"), lambda: store.create("a")):
        with pytest.raises(KeysError, match=r"keys\.db"):
            ask()


def test_the_bucket_lets_through_what_the_rate_allows():
    bucket = TokenBucket(2.0, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.5, 0.5]
    assert bucket.take(100.4) == pytest.approx(0.1)
    assert bucket.take(100.5) == 0.0
    assert [bucket.take(900.0) for _ in range(3)] == [0.0, 0.0, 0.5]  # a pause saves up no more than a second
    slow = TokenBucket(0.1, 0.0)
    assert (slow.take(0.0), slow.take(1.0)) == (0.0, pytest.approx(9.0))
    assert slow.take(10.0) == 0.0
