"""The shelf over loads that end when the test says so: order, room, failures, and who gets a lease."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.server.shelf import Shelf, abandon
from dreamscope.engine.weights.progress import Progress

TIMEOUT = 20.0
SKILLS = ("query", "caption")


def info(model_id: str, **facts: Any) -> wire.ModelInfo:
    return wire.ModelInfo(id=model_id, skills=SKILLS, **facts)


@pytest.fixture
def shelf(stock: Any) -> Shelf:
    """Two miniatures, two big ones, one to be downloaded, one that is only a name."""
    return Shelf(
        [
            stock.known(info("mini", aliases=("the/mini",)), light=True),
            stock.known(info("mini-2"), light=True),
            stock.known(info("big")),
            stock.known(info("big-2", state="download")),
            stock.known(info("ghost", state="unavailable", reason="it was never trained")),
        ]
    )


@pytest.fixture
def told(shelf: Shelf) -> list[wire.Message]:
    messages: list[wire.Message] = []
    shelf.open(messages.append)
    return messages


async def got(waiter: Any) -> Any:
    return await asyncio.wait_for(waiter, TIMEOUT)


def loaded(shelf: Shelf) -> list[str]:
    return [entry.id for entry in shelf.infos() if entry.loaded]


def states(told: list[wire.Message], model_id: str) -> list[tuple[str, bool]]:
    """What was told of a model, without repetitions."""
    seen: list[tuple[str, bool]] = []
    for message in told:
        if isinstance(message, wire.Models):
            entry = next(each for each in message.models if each.id == model_id)
            if not seen or seen[-1] != (entry.state, entry.loaded):
                seen.append((entry.state, entry.loaded))
    return seen


async def test_names(shelf: Shelf) -> None:
    assert shelf.find(None).id == shelf.find(" THE/mini ").id == shelf.default.id == "mini"
    assert [entry.id for entry in shelf.infos() if entry.default] == ["mini"]
    with pytest.raises(errors.ModelNotFound, match="No model 'huge'; this server has mini, the/mini"):
        shelf.find("huge")
    with pytest.raises(errors.ModelNotFound):
        shelf.load("huge")


async def test_everybody_who_waits_gets_the_model(shelf: Shelf, stock: Any, told: list[wire.Message]) -> None:
    assert shelf.take("mini") is None
    waiters = [shelf.wait("mini") for _ in range(3)]
    assert shelf.queued("mini") == 3
    stock.finish("mini")
    leases = [await got(waiter) for waiter in waiters]
    assert stock.begun == ["mini"]
    assert {lease.engine for lease in leases} == {stock.engines["mini"]}
    assert shelf.queued("mini") == 0
    assert shelf.take("mini") is not None
    assert (await got(shelf.wait("mini"))).engine is stock.engines["mini"]
    assert states(told, "mini") == [("loading", False), ("ready", True)]


async def test_one_at_a_time_in_the_order_of_asking(shelf: Shelf, stock: Any) -> None:
    waiters = [shelf.wait(name) for name in ("mini", "mini-2", "big")]
    await stock.loading("mini")
    assert shelf.find("mini-2").state == "loading"
    for name, waiter in zip(("mini", "mini-2", "big"), waiters, strict=True):
        await stock.loading(name)
        assert stock.begun[-1] == name
        stock.finish(name)
        await got(waiter)
    assert loaded(shelf) == ["mini", "mini-2", "big"]


async def test_a_big_model_waits_for_the_other_to_be_idle(
    shelf: Shelf, stock: Any, told: list[wire.Message]
) -> None:
    stock.finish("big")
    first, second = await got(shelf.wait("big")), shelf.take("big")
    assert second is not None
    newcomer = shelf.wait("big-2")
    first.release()
    first.release()  # once is enough
    await asyncio.sleep(0)
    assert shelf.take("big") is None  # it is about to go: a new request waits for its return
    again = shelf.wait("big")
    assert stock.begun == ["big"]
    assert not stock.engines["big"].stopped
    second.release()
    stock.finish("big-2")
    lease = await got(newcomer)
    assert stock.engines["big"].stopped
    assert loaded(shelf) == ["big-2"]
    lease.release()
    stock.finish("big")
    await got(again)
    assert stock.begun == ["big", "big-2", "big"]
    assert loaded(shelf) == ["big"]
    assert shelf.find("big-2").state == "ready"  # it is on this machine by now
    details = [message.detail for message in told if isinstance(message, wire.ModelProgress)]
    assert details == [f"Waiting for the requests of {name} to end" for name in ("big", "big-2")]


async def test_a_miniature_lies_beside_any_model(shelf: Shelf, stock: Any) -> None:
    for name in ("big", "mini", "mini-2"):
        stock.finish(name)
        await got(shelf.wait(name))
    assert loaded(shelf) == ["mini", "mini-2", "big"]


async def test_nothing_goes_when_the_newcomer_is_wanted_no_more(shelf: Shelf, stock: Any) -> None:
    stock.finish("big")
    lease = await got(shelf.wait("big"))
    newcomer = shelf.wait("big-2")
    await asyncio.sleep(0)
    again = shelf.wait("big")
    abandon(newcomer)
    lease.release()
    (await got(again)).release()
    assert stock.begun == ["big"]
    assert not stock.engines["big"].stopped
    assert shelf.find("big-2").state == "download"


async def test_a_failure_is_everybodys_and_can_be_tried_again(
    shelf: Shelf, stock: Any, told: list[wire.Message]
) -> None:
    waiters = [shelf.wait("big") for _ in range(2)]
    stock.fail("big", errors.NotEnoughMemory("It needs 2 GiB, 1 GiB is free.", "model"))
    raised = []
    for waiter in waiters:
        with pytest.raises(errors.NotEnoughMemory, match="needs 2 GiB") as caught:
            await got(waiter)
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    entry = shelf.find("big")
    assert (entry.state, entry.reason, entry.loaded) == ("failed", "It needs 2 GiB, 1 GiB is free.", False)
    stock.finish("big")
    await got(shelf.wait("big"))
    entry = shelf.find("big")
    assert (entry.state, entry.reason, entry.loaded) == ("ready", None, True)
    assert states(told, "big") == [
        ("loading", False), ("failed", False), ("loading", False), ("ready", True)
    ]  # fmt: skip


async def test_a_bug_in_loading_is_an_internal_error(shelf: Shelf, stock: Any, caplog: Any) -> None:
    waiter = shelf.wait("mini")
    stock.fail("mini", ZeroDivisionError("secret detail"))
    with pytest.raises(errors.InternalError) as caught:
        await got(waiter)
    assert "secret" not in caught.value.message
    assert "secret detail" in caplog.text
    assert shelf.status == "failed"
    stock.finish("mini-2")
    await got(shelf.wait("mini-2"))  # the shelf goes on


async def test_the_default_decides_the_status(shelf: Shelf, stock: Any) -> None:
    assert (shelf.status, shelf.device) == ("loading", None)
    stock.finish("big")
    await got(shelf.wait("big"))
    assert shelf.status == "loading"
    stock.finish("mini")
    await got(shelf.wait("mini"))
    assert (shelf.status, shelf.device) == ("ok", "cpu float32")


async def test_a_name_alone_is_refused(shelf: Shelf) -> None:
    for ask in (shelf.wait, shelf.load):
        with pytest.raises(errors.NotImplementedYet, match="ghost cannot be run: it was never trained") as e:
            ask("ghost")
        assert "Available are mini, mini-2, big, big-2." in e.value.message
    assert shelf.find("ghost").state == "unavailable"


async def test_a_load_without_a_request(shelf: Shelf, stock: Any, told: list[wire.Message]) -> None:
    shelf.load("big")
    shelf.load("BIG")
    stock.finish("big")
    lease = await got(shelf.wait("big"))
    shelf.load("big")
    assert stock.begun == ["big"]
    lease.release()
    assert states(told, "big") == [("loading", False), ("ready", True)]


async def test_a_load_that_nobody_waits_for_any_more_does_not_begin(shelf: Shelf, stock: Any) -> None:
    first = shelf.wait("mini")
    await stock.loading("mini")
    left, kept = shelf.wait("big"), shelf.wait("mini-2")
    abandon(left)
    for name, waiter in (("mini", first), ("mini-2", kept)):
        stock.finish(name)
        await got(waiter)
    assert stock.begun == ["mini", "mini-2"]
    assert shelf.find("big").state == "ready"


async def test_a_lease_that_comes_too_late_is_given_back(shelf: Shelf, stock: Any) -> None:
    stock.finish("big")
    late = shelf.wait("big")
    await got(asyncio.shield(late))
    abandon(late)
    stock.finish("big-2")
    await got(shelf.wait("big-2"))
    assert stock.engines["big"].stopped


async def test_progress_is_told_in_steps(shelf: Shelf, stock: Any, told: list[wire.Message]) -> None:
    waiter = shelf.wait("mini")
    await stock.loading("mini")
    stock.report("mini", Progress("memory", "It needs little"))
    for done in range(1001):
        stock.report("mini", Progress("read", "Reading", done, 1000))
    stock.finish("mini")
    await got(waiter)
    progress = [message for message in told if isinstance(message, wire.ModelProgress)]
    assert progress[0] == wire.ModelProgress("mini", "It needs little", None)
    shares = [message.done for message in progress[1:]]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert 50 <= len(shares) <= 102
    assert shares == sorted(shares)
    assert {message.model for message in progress} == {"mini"}


async def test_adapters_are_listed_after_a_load(stock: Any) -> None:
    lists = [{"mini": ("dogs@1",)}, {"mini": ("dogs@1",), "big": ("cats",)}, {"big": ("cats",)}]
    messages: list[wire.Message] = []
    shelf = Shelf([stock.known(info("mini")), stock.known(info("big"))], lambda: lists.pop(0))
    shelf.open(messages.append)
    for name in ("mini", "big"):
        stock.finish(name)
        (await got(shelf.wait(name))).release()
    stock.finish("mini")
    await got(shelf.wait("mini"))  # comes after the listing before it
    assert shelf.find("mini").adapters == ("dogs@1",)
    assert shelf.find("big").adapters == ("cats",)
    assert any(m.models[0].adapters == ("dogs@1",) for m in messages if isinstance(m, wire.Models))
    await shelf.stop()


async def test_stop_begins_nothing_more(shelf: Shelf, stock: Any) -> None:
    shelf.load("mini")
    shelf.load("big")
    await stock.loading("mini")
    await asyncio.wait_for(shelf.stop(), TIMEOUT)
    stock.finish("mini")
    assert stock.begun == ["mini"]


async def test_close_stops_every_engine(shelf: Shelf, stock: Any) -> None:
    for name in ("mini", "big"):
        stock.finish(name)
        await got(shelf.wait(name))
    shelf.close()
    assert stock.engines["mini"].stopped
    assert stock.engines["big"].stopped
    assert not stock.engines["mini-2"].stopped
