from __future__ import annotations

import asyncio

from dreamscope.app.hub import Hub


async def test_changes_are_told_from_any_thread_to_everybody_who_listens():
    hub = Hub()
    first, second = asyncio.Queue(), asyncio.Queue()
    with hub.listening(first.put_nowait):
        with hub.listening(second.put_nowait):
            await asyncio.to_thread(hub.changed, iter(["a", "b"]))
            assert await first.get() == await second.get() == ("a", "b")
        hub.changed()
        assert await first.get() == ()
        assert second.empty()
    hub.changed(["c"])  # nobody is left
    assert first.empty()
