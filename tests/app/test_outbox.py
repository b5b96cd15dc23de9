from __future__ import annotations

import asyncio
import json

from dreamscope.app.outbox import Outbox
from dreamscope.visualizers.fragment import Fragment


async def sent_by(put):
    """What leaves in the first message after `put(outbox)`."""
    arrived = asyncio.Queue()
    outbox = Outbox(arrived.put)
    put(outbox)
    task = asyncio.create_task(outbox.run())
    message = json.loads(await arrived.get())
    task.cancel()
    return message


def text(message):
    return "".join(fragment["html"] for fragment in message["fragments"])


def words(*texts):
    return [Fragment("answer", "append", each) for each in texts]


async def test_columns_that_take_turns_travel_as_one_message_each():
    def put(outbox):
        for turn in "abc":
            outbox.put_fragments(words(turn), "0")
            outbox.put_fragments(words(turn.upper()), "1")
            outbox.put_fragments(words("-"))

    messages = await sent_by(put)
    assert [(m.get("column"), text(m)) for m in messages] == [("0", "abc"), ("1", "ABC"), (None, "---")]
    assert all(len(message["fragments"]) == 1 for message in messages)


async def test_a_message_about_a_column_parts_what_comes_before_from_what_comes_after():
    def put(outbox):
        outbox.put_fragments(words("before"), "0")
        outbox.put_fragments(words("x"), "1")
        outbox.put("0", run="done")
        outbox.put(history={"changed": []})
        outbox.put_fragments(words("after"), "0")
        outbox.put_fragments(words("y"), "1")

    messages = await sent_by(put)
    assert [m.get("run") or m.get("history") or text(m) for m in messages] == [
        "before",
        "xy",
        "done",
        {"changed": []},
        "after",
    ]


async def test_the_main_column_is_not_named():
    messages = await sent_by(lambda outbox: outbox.put("main", run="idle"))
    assert messages == [{"run": "idle"}]


async def test_nothing_is_no_message():
    def put(outbox):
        outbox.put_fragments([], "0")
        outbox.put(run="idle")

    assert await sent_by(put) == [{"run": "idle"}]
