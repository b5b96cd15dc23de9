"""The real thing, small: checkpoints of both families in a folder, loaded, asked, and put away again."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from dreamscope.engine import errors, wire
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.models.moondream2.adapter import adapted_linears
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.server.stock import build_shelf
from dreamscope.engine.settings import load
from dreamscope.engine.weights.random import write_random_checkpoint

TIMEOUT = 60.0
VISION = {
    "enc_dim": 24, "enc_patch_size": 4, "enc_n_layers": 1, "enc_ff_dim": 40, "enc_n_heads": 2,
    "proj_out_dim": 32, "crop_size": 20, "overlap_margin": 1, "max_crops": 2, "proj_inner_dim": 40,
}  # fmt: skip
TEXT = {"dim": 32, "ff_dim": 48, "n_layers": 2, "vocab_size": 290, "n_heads": 4}
REGION = {"dim": 32, "coord_feat_dim": 8, "size_feat_dim": 8, "inner_dim": 24}
TEMPLATES = {
    "caption": {"short": [1, 30, 3], "normal": [1, 31, 3], "long": [1, 32, 3]},
    "query": {"prefix": [1, 40, 2], "suffix": [3]},
    "detect": {"prefix": [1, 41, 2], "suffix": [3]},
    "point": {"prefix": [1, 43, 2], "suffix": [3]},
}
DENSE = Moondream2Config.from_dict(
    {
        "text": {**TEXT, "n_kv_heads": 4, "max_context": 256},
        "vision": VISION,
        "region": REGION,
        "tokenizer": {"templates": TEMPLATES},
    }
)
MIXTURE = Moondream3Config.from_dict(
    {
        "text": {
            **TEXT,
            "max_context": 192,
            "moe": {"num_experts": 4, "start_layer": 1, "experts_per_token": 2, "expert_inner_dim": 12},
        },
        "vision": VISION,
        "region": {key: value for key, value in REGION.items() if key != "inner_dim"},
        "tokenizer": {"templates": {**TEMPLATES, "segment": {"prefix": [1, 44, 2], "suffix": [3]}}},
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`dense`, `mixture`, one that is damaged, and a folder that holds something else."""
    place = tmp_path_factory.mktemp("models")
    write_random_checkpoint(DENSE, place / "dense", seed=3)
    write_random_checkpoint(MIXTURE, place / "mixture", seed=4)
    shutil.copytree(place / "dense", place / "torn")
    (place / "torn" / "model.safetensors").write_bytes(b"\x10\0\0")
    (place / "notes").mkdir()
    return place


@pytest.fixture
def shelf_of(folder: Path) -> Any:
    made: list[Shelf] = []

    def build(**flags: str) -> Shelf:
        flags = {"device": "cpu", "dtype": "float32", "models_dir": str(folder), "model": "dense", **flags}
        made.append(build_shelf(load(SETTINGS, "serve", flags, {})))
        return made[-1]

    yield build
    for each in made:
        each.close()


def ask(request_id: str, model: str, **fields: Any) -> wire.RequestCreate:
    sampling = {"temperature": 0, "max_tokens": 8}
    return wire.RequestCreate(
        request_id=request_id, skill="caption", model=model, image_id="i", settings=sampling, **fields
    )


async def answers(client: Any, *requests: wire.RequestCreate) -> dict[str, wire.Message]:
    """The terminal events by request; checks that every request has all of its events, numbered."""
    for request in requests:
        await client.send(request)
    seen: dict[str, list[Any]] = {request.request_id: [] for request in requests}
    while not all(events and isinstance(events[-1], wire.TERMINAL) for events in seen.values()):
        event = await client.receive()
        seen[event.request_id].append(event)
    for events in seen.values():
        last = -1
        for event in events:
            assert (event.seq if event.first_seq is None else event.first_seq) == last + 1
            last = event.seq
        assert isinstance(events[0], wire.RequestAccepted)
        assert [event.t for event in events] == sorted(event.t for event in events)
    return {name: events[-1] for name, events in seen.items()}


async def test_the_list(shelf_of: Any, folder: Path) -> None:
    infos = {info.id: info for info in shelf_of().infos()}
    assert next(iter(infos)) == "dense"
    assert {"sprite-2", "sprite-3", "moondream2", "mixture", "torn"} < set(infos)
    assert "notes" not in infos
    assert (infos["dense"].context_length, infos["mixture"].context_length) == (256, 192)
    assert ("segment" in infos["dense"].skills, "segment" in infos["mixture"].skills) == (False, True)
    assert infos["torn"].state == "unavailable"
    assert "model.safetensors" in (infos["torn"].reason or "")
    assert infos["mixture"].state == "ready"


async def test_the_list_names_the_revision_before_and_after_loading(shelf_of: Any) -> None:
    shelf = shelf_of()
    before = {info.id: info.revision for info in shelf.infos()}
    assert before["dense"] != before["mixture"]
    assert len(before["sprite-2"]) == len(before["dense"]) == 12
    (await asyncio.wait_for(shelf.wait("dense"), TIMEOUT)).release()
    after = {info.id: info.revision for info in shelf.infos()}
    assert after == before


async def test_two_families_answer_in_turn_as_they_do_alone(
    serve: Any, shelf_of: Any, picture: Callable[..., str]
) -> None:
    alone = {}
    for name in ("dense", "mixture"):
        async with serve(shelf_of(model=name)) as server, server.client() as client:
            await client.send(wire.ImagePut("i", picture(30, 20)))
            await client.until(wire.ImageReady)
            ends = await answers(client, ask("r", name))
            alone[name] = ends["r"].output
    assert alone["dense"] != alone["mixture"]
    async with serve(shelf_of()) as server, server.client() as client:
        await client.send(wire.ImagePut("i", picture(30, 20)))
        await client.until(wire.ImageReady)
        order = ["dense", "mixture", "mixture", "dense", "mixture"]
        requests = [ask(f"{index}", name) for index, name in enumerate(order)]
        ends = await answers(client, *requests)
        for request in requests:
            end = ends[request.request_id]
            assert isinstance(end, wire.RequestDone)
            assert end.output == alone[request.model]
        # one after the other, each asked anew
        for index, name in enumerate(order):
            ends = await answers(client, ask(f"again-{index}", name))
            assert ends[f"again-{index}"].output == alone[name]


async def test_what_is_unloaded_leaves_the_memory(shelf_of: Any) -> None:
    shelf = shelf_of()
    lease = await asyncio.wait_for(shelf.wait("dense"), TIMEOUT)
    refs = [weakref.ref(lease.engine), weakref.ref(lease.engine._model)]
    refs.append(weakref.ref(lease.engine._model.weights.text.wte))
    lease.release()
    del lease
    (await asyncio.wait_for(shelf.wait("mixture"), TIMEOUT)).release()
    assert [ref() for ref in refs] == [None, None, None]


async def test_a_load_that_fails_leaves_nothing_behind(shelf_of: Any, monkeypatch: Any) -> None:
    from dreamscope.engine.server import loading

    refs = []

    def broken(model: Any, *args: Any, **kwargs: Any) -> None:
        refs.append(weakref.ref(model))
        raise errors.NotEnoughMemory("No room.")

    monkeypatch.setattr(loading, "Engine", broken)
    shelf = shelf_of()
    with pytest.raises(errors.NotEnoughMemory):
        await asyncio.wait_for(shelf.wait("dense"), TIMEOUT)
    gc.collect()
    assert [ref() for ref in refs] == [None]


async def test_a_damaged_checkpoint_says_what_is_wrong(shelf_of: Any) -> None:
    with pytest.raises(errors.NotImplementedYet, match=r"torn cannot be run: .*model\.safetensors"):
        shelf_of().wait("torn")


async def test_the_packaged_one_lies_beside_a_local_one(shelf_of: Any) -> None:
    shelf = shelf_of(model="sprite-2")
    for name in ("sprite-2", "dense"):
        (await asyncio.wait_for(shelf.wait(name), TIMEOUT)).release()
    assert [info.id for info in shelf.infos() if info.loaded] == ["sprite-2", "dense"]


def adapter(path: Path, config: Moondream2Config) -> None:
    path.parent.mkdir(exist_ok=True)
    tensors = {}
    for name, into, out in adapted_linears(config):
        tensors[f"{name}.A"] = np.zeros((2, into), np.float32)
        tensors[f"{name}.B"] = np.zeros((out, 2), np.float32)
    save_file(tensors, path)


async def test_each_model_lists_the_adapters_that_fit_it(shelf_of: Any, tmp_path: Path) -> None:
    adapter(tmp_path / "dogs" / "7.safetensors", DENSE)
    deeper = dataclasses.replace(DENSE, text=dataclasses.replace(DENSE.text, n_layers=3))
    adapter(tmp_path / "dogs" / "8.safetensors", deeper)
    (tmp_path / "dogs" / "9.safetensors").write_bytes(b"torn")
    shelf = shelf_of(adapters=str(tmp_path))
    told: asyncio.Queue[wire.Message] = asyncio.Queue()
    shelf.open(told.put_nowait)
    (await asyncio.wait_for(shelf.wait("dense"), TIMEOUT)).release()
    async with asyncio.timeout(TIMEOUT):
        while not shelf.find("dense").adapters:
            await told.get()
    assert shelf.find("dense").adapters == ("dogs@7",)
    assert all(info.adapters == () for info in shelf.infos() if info.id != "dense")


async def test_threads_are_those_of_each_model(shelf_of: Any, monkeypatch: Any) -> None:
    import torch

    from dreamscope.engine.runtime.core import Core

    seen: dict[str, int] = {}
    close = Core.close

    def watched(core: Any) -> None:
        name = core._model_id
        core._runner._worker.submit(lambda: seen.update({name: torch.get_num_threads()}))
        close(core)

    monkeypatch.setattr(Core, "close", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        shelf = shelf_of(model="sprite-2")
        for name in ("dense", "sprite-2", "mixture"):
            (await asyncio.wait_for(shelf.wait(name), TIMEOUT)).release()
        shelf.close()
    finally:
        torch.set_num_threads(before)
    assert seen["sprite-2"] == 1
    assert seen["mixture"] == seen["dense"] == 3
