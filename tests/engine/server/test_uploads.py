"""The store of a connection's images: its bounds, and what survives them. Addresses of images."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest

from dreamscope.engine import errors
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.server.image_url import image_bytes
from dreamscope.engine.server.uploads import MAX_IMAGES, Upload, UploadStore


def upload(side: int) -> Upload:
    return Upload(RawImage(np.zeros((side, side, 3), np.uint8), f"digest {side}"), 1, "")


async def put(store: UploadStore, name: str, side: int = 10) -> None:
    async def decode() -> Upload:
        return upload(side)

    await store.put(name, decode())
    await store.get(name)()


async def names(store: UploadStore, candidates: list[str]) -> list[str]:
    found = []
    for name in candidates:
        try:
            await store.get(name)()
        except errors.ImageUnknown:
            continue
        found.append(name)
    return found


async def test_the_image_used_longest_ago_makes_room():
    store = UploadStore(limit_bytes=3 * 300)
    for name in "abc":
        await put(store, name)
    await store.get("a")()
    await put(store, "d")
    assert await names(store, list("abcd")) == ["a", "c", "d"]


async def test_the_newest_stays_even_when_it_alone_is_too_large():
    store = UploadStore(limit_bytes=100)
    await put(store, "small", 2)
    await put(store, "huge", 50)
    assert await names(store, ["small", "huge"]) == ["huge"]


async def test_the_number_of_images_is_bounded():
    store = UploadStore(limit_bytes=10**9)
    every = [f"i{i}" for i in range(MAX_IMAGES + 5)]
    for name in every:
        await put(store, name, 1)
    assert await names(store, every) == every[5:]


async def test_an_image_being_decoded_is_not_evicted():
    store = UploadStore(limit_bytes=10)
    ready = asyncio.Event()

    async def slow() -> Upload:
        await ready.wait()
        return upload(1)

    store.put("slow", slow())
    await put(store, "b")
    await put(store, "c")
    ready.set()
    assert (await store.get("slow")()).size == (1, 1)


async def test_the_same_name_replaces():
    store = UploadStore(limit_bytes=10**6)
    await put(store, "a", 2)
    await put(store, "a", 3)
    assert (await store.get("a")()).size == (3, 3)


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,aGVsbG8=",
        "DATA:whatever/else;BASE64,aGVsbG8=",
        "data:;base64,aGVsbG8",
        "data:image/jpeg;charset=x;base64,aGVs bG8=\n",
        "aGVsbG8=",
        "  aGVs\r\nbG8  ",
    ],
)
def test_accepted_addresses(url):
    assert image_bytes(url) == b"hello"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "data:image/png;base64,",
        "data:image/png,aGVsbG8=",
        "http://example.com/a.png",
        "HTTPS://example.com/a.png",
        "file:///etc/passwd",
        "/etc/passwd.png",
        "javascript:alert(1)",
        "a",
        "aGVs*bG8=",
        "\u00e9\u00e9\u00e9\u00e9",
    ],
)
def test_refused_addresses(url):
    with pytest.raises(errors.InvalidImageUrl) as caught:
        image_bytes(url)
    assert caught.value.param == "image_url"
    assert "base64" in caught.value.message


def test_any_bytes_come_through():
    data = bytes(range(256)) * 3
    assert image_bytes("data:image/png;base64," + base64.b64encode(data).decode()) == data
