"""`stats.subscribe` over the websocket."""

from __future__ import annotations

from dreamscope.engine import wire


async def test_stats_come_at_once_and_then_every_so_often(serve, shelf, clock):
    async with serve(shelf, clock=clock) as harness, harness.client() as client:
        await client.send(wire.StatsSubscribe(500))
        first = await client.receive()
        assert (first.status, first.model, first.uptime_s) == ("running", "sprite-2", 0.0)
        for passed in (0.5, 1.0):
            clock.advance(0.5)
            assert (await client.receive()).uptime_s == passed
        await client.send(wire.StatsSubscribe(0))
        await client.send(wire.RequestCancel("after"))
        assert (await client.receive()).ref == "after"
        clock.advance(5.0)
        await client.send(wire.RequestCancel("silent"))
        assert (await client.receive()).ref == "silent"
