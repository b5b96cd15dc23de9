"""Conversations, presets and structured answers on the socket: what reaches the engine, what is refused."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.engine.server import hub as hub_module
from dreamscope.engine.skills.base import ChatMessage
from dreamscope.engine.skills.presets import catalogue


def chat(*content: Any, **fields: Any) -> wire.RequestCreate:
    messages = tuple(wire.ChatTurn("user", each) for each in content)
    return wire.RequestCreate(
        request_id=fields.pop("request_id", "a"), skill="chat", messages=messages, **fields
    )


def query(**fields: Any) -> wire.RequestCreate:
    return wire.RequestCreate(**{"request_id": "a", "skill": "query", "question": "Why?", **fields})


def upload(name: str) -> dict[str, Any]:
    return {"type": "image", "image_id": name}


async def refusal(server: Any, message: wire.RequestCreate) -> wire.ErrorInfo:
    """The error that is the only event of this request."""
    async with server.client() as client:
        await client.send(message)
        answer = await client.receive()
        assert isinstance(answer, wire.RequestFailed)
        assert answer.seq == 0
        return answer.error


async def test_images_reach_the_engine_in_the_order_of_the_messages(server, engine, picture):
    async with server.client() as client:
        for name, width in (("one", 8), ("two", 9)):
            await client.send(wire.ImagePut(name, picture(width)))
            assert (await client.receive()).width == width
        inline = {"type": "image_url", "image_url": {"url": picture(10)}}
        await client.send(chat([upload("two"), {"type": "text", "text": "a"}, inline], [upload("one")]))
        job = await engine.next_job()
        assert job.request.image is None
        assert [image.rgb.shape[1] for image in job.request.images] == [9, 10, 8]
        assert job.request.skill_request.messages == (ChatMessage("user", "a", 2), ChatMessage("user", "", 1))
        job.done(answer="x")
        events = await client.until(wire.RequestDone)
        assert events[0].skill == "chat"


async def test_an_image_is_taken_before_its_name_is_given_away(server, engine, picture):
    async with server.client() as client:
        await client.send(wire.ImagePut("one", picture(8)))
        await client.send(chat([upload("one")]))
        await client.send(wire.ImagePut("one", picture(9)))
        job = await engine.next_job()
        assert job.request.images[0].rgb.shape[1] == 8


async def test_a_conversation_without_images(server, engine):
    async with server.client() as client:
        await client.send(chat("hello"))
        job = await engine.next_job()
        assert (job.request.image, job.request.images) == (None, ())


async def test_a_repeat_attaches_and_another_image_does_not(server, engine, picture):
    def with_image(width: int) -> wire.RequestCreate:
        return chat([{"type": "image", "image_url": picture(width)}])

    async with server.client() as client:
        await client.send(with_image(8))
        await engine.next_job()
        assert isinstance(await client.receive(), wire.RequestAccepted)
        await client.send(with_image(8))
        assert isinstance(await client.receive(), wire.RequestAccepted)
        await client.send(with_image(9))
        answer = await client.receive()
        assert (answer.error.code, answer.ref) == ("request_exists", "a")


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (chat(), "missing_parameter", "messages"),
        (chat(""), "missing_parameter", "messages"),
        (chat([upload("nobody")]), "image_unknown", "image_id"),
        (chat([upload("x")] * 17), "too_many_images", "messages"),
        (chat([{"type": "image", "image_url": "https://a.org/b.png"}]), "invalid_image_url", "image_url"),
        (chat("x", image_id="i"), "invalid_parameter", "image_id"),
        (chat("\ud800"), "invalid_parameter", "messages"),
        (query(preset="poem"), "invalid_parameter", "preset"),
        (query(response_format={"type": "yaml"}), "invalid_parameter", "response_format"),
        (query(response_format={"type": "json_schema"}), "missing_parameter", "response_format"),
        (
            query(response_format={"type": "json_schema", "schema": {"not": {}}}),
            "unsupported_parameter",
            "response_format",
        ),
        (
            query(response_format={"type": "json_schema", "schema": {"type": "strnig"}}),
            "invalid_parameter",
            "response_format",
        ),
        (
            wire.RequestCreate(
                request_id="a", skill="caption", image_id="i", response_format={"type": "csv"}
            ),
            "unsupported_parameter",
            "response_format",
        ),
    ],
)  # fmt: skip
async def test_refusals(server, message, code, param):
    error = await refusal(server, message)
    assert (error.code, error.param) == (code, param)
    assert error.type == "invalid_request_error"


async def test_the_greeting_lists_the_presets(server):
    async with server.socket() as client:
        await client.send(wire.Hello())
        ready = await client.receive()
        assert ready.presets == catalogue().presets


async def test_a_preset_fills_the_request(server, engine, picture):
    async with server.client() as client:
        image = picture()
        await client.send(wire.RequestCreate(request_id="a", skill="query", image_url=image, preset="tags"))
        asked = (await engine.next_job()).request.skill_request
        assert asked.question.startswith(catalogue().find("tags").question)
        assert '"tags"' in asked.schema


async def test_a_schema_is_compiled_off_the_loop(server, engine, monkeypatch):
    threads = []
    parse = hub_module.intake.parse

    def watched(*arguments):
        threads.append(threading.current_thread())
        return parse(*arguments)

    monkeypatch.setattr(hub_module.intake, "parse", watched)
    async with server.client() as client:
        await client.send(query(request_id="plain"))
        await engine.next_job()
        await client.send(query(request_id="json", response_format={"type": "json_object"}))
        assert (await engine.next_job()).request.skill_request.schema == '{"type":"object"}'
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


def test_the_hash_of_a_request_covers_its_images():
    first = chat([{"type": "image", "image_url": "one"}, {"type": "text", "text": "x"}])
    second = chat([{"type": "image", "image_url": "two"}, {"type": "text", "text": "x"}])
    named = chat([{"type": "image", "image_id": "one"}, {"type": "text", "text": "x"}])
    hashes = {hub_module._body_hash(each) for each in (first, second, named)}
    assert len(hashes) == 3
    assert hub_module._body_hash(replace(first)) in hashes
    assert all(len(each) == hashlib.sha256().digest_size * 2 for each in hashes)
