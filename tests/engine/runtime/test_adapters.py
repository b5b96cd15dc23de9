"""The registry of adapters: ids, the folder, and what stays in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dreamscope.engine.errors import AdapterInvalid, AdapterNotFound
from dreamscope.engine.models.lora import Adapter
from dreamscope.engine.runtime.adapters import AdapterId, AdapterRegistry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dogs/10.pt", "dogs/9.safetensors", "cats/final.pt", "cats/notes.txt", ".git/1.pt", "3.pt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path


class Loader:
    """Counts what is read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path) -> Adapter:
        self.read.append(path.name)
        return Adapter(path.read_text(encoding="utf-8"), (), 0)


@pytest.mark.parametrize(
    ("text", "name", "step", "shown"),
    [
        ("dogs@10", "dogs", "10", "dogs@10"),
        ("dogs/10", "dogs", "10", "dogs@10"),
        ("a.b-c_d", "a.b-c_d", None, "a.b-c_d"),
    ],
)
def test_ids(text: str, name: str, step: str | None, shown: str) -> None:
    adapter_id = AdapterId.parse(text)
    assert adapter_id == AdapterId(name, step)
    assert str(adapter_id) == shown


@pytest.mark.parametrize(
    "text",
    ["", "@3", "dogs@", "dogs@x", "dogs@-1", "../dogs", "..", "a/b/3", "a b@1", "dogs@1@2", "dogs/../x"],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(AdapterNotFound, match=r"NAME@STEP with a decimal step") as caught:
        AdapterId.parse(text, "variant")
    assert caught.value.param == "variant"


def test_the_list_is_that_of_the_folder(folder: Path) -> None:
    registry = AdapterRegistry(folder, Loader())
    registry.get(AdapterId("cats"))
    found = registry.list()
    assert [(entry.id, entry.loaded) for entry in found] == [
        ("cats", True), ("dogs@9", False), ("dogs@10", False)
    ]  # fmt: skip
    assert found[2].nbytes == len("dogs/10.pt")


def test_an_adapter_is_read_once(folder: Path) -> None:
    load = Loader()
    registry = AdapterRegistry(folder, load)
    dogs = AdapterId("dogs", "10")
    assert registry.peek(dogs) is None
    first = registry.get(dogs)
    assert registry.get(dogs) is registry.peek(dogs) is first
    assert load.read == ["10.pt"]
    assert registry.unload(dogs)
    assert not registry.unload(dogs)
    assert registry.get(dogs) is not first
    assert load.read == ["10.pt", "10.pt"]


def test_five_stay_in_memory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    ids = [AdapterId("a", str(step)) for step in range(6)]
    for each in ids:
        (tmp_path / "a" / f"{each.step}.pt").write_text(str(each), encoding="utf-8")
    load = Loader()
    registry = AdapterRegistry(tmp_path, load)
    for each in ids[:5]:
        registry.get(each)
    registry.get(ids[0])  # now the most recent
    registry.get(ids[5])
    loaded = [entry.id for entry in registry.list() if entry.loaded]
    assert loaded == ["a@0", "a@2", "a@3", "a@4", "a@5"]
    assert len(load.read) == 6


def test_a_changed_file_is_read_again(folder: Path) -> None:
    registry = AdapterRegistry(folder, Loader())
    dogs, path = AdapterId("dogs", "9"), folder / "dogs" / "9.safetensors"
    assert registry.get(dogs).digest == "dogs/9.safetensors"
    path.write_text("other content", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert registry.peek(dogs) is None
    assert registry.get(dogs).digest == "other content"
    path.unlink()
    assert registry.peek(dogs) is None
    with pytest.raises(AdapterNotFound):
        registry.get(dogs)


def test_what_is_gone_from_the_folder_goes_from_memory(folder: Path) -> None:
    registry = AdapterRegistry(folder, Loader())
    dogs, cats = AdapterId("dogs", "9"), AdapterId("cats")
    registry.get(dogs)
    (folder / "dogs" / "9.safetensors").unlink()
    registry.get(cats)
    assert not registry.unload(dogs)
    assert registry.unload(cats)


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(AdapterNotFound, match=r"No adapter dogs@7; there are cats, dogs@9, dogs@10\."):
        AdapterRegistry(folder, Loader()).find(AdapterId("dogs", "7"))
    with pytest.raises(AdapterNotFound, match="the folder holds none"):
        AdapterRegistry(folder / "dogs", Loader()).find(AdapterId("x"))
    with pytest.raises(AdapterNotFound, match="without a folder of adapters"):
        AdapterRegistry().find(AdapterId("x"))


def test_one_that_cannot_be_loaded_is_not_kept(folder: Path) -> None:
    def refuse(path: Path) -> Adapter:
        raise AdapterInvalid(f"{path.name} does not fit.")

    registry = AdapterRegistry(folder, refuse)

    for _ in range(2):
        with pytest.raises(AdapterInvalid):
            registry.get(AdapterId("cats"))
    assert not any(entry.loaded for entry in registry.list())
