"""The messages of a conversation: what is accepted, and what each refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from dreamscope.engine import errors, wire
from dreamscope.engine.skills.base import ChatMessage
from dreamscope.engine.skills.parse import MAX_PROMPT_CHARS, parse_request
from dreamscope.engine.skills.parse_chat import MAX_IMAGES, MAX_MESSAGES, ImageRef, image_refs
from dreamscope.engine.skills.presets import catalogue

UPLOAD = {"type": "image", "image_id": "i"}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def turns(*given: tuple[str, Any]) -> tuple[wire.ChatTurn, ...]:
    return tuple(wire.ChatTurn(role, content) for role, content in given)


def parse(*given: tuple[str, Any], **fields: Any) -> Any:
    create = wire.RequestCreate(request_id="r", skill="chat", messages=turns(*given), **fields)
    return parse_request(create)


def refused(error: type[errors.DreamscopeError], *given: tuple[str, Any]) -> str:
    with pytest.raises(error) as caught:
        parse(*given)
    assert caught.value.param == "messages"
    return caught.value.message


def test_a_conversation() -> None:
    parsed = parse(
        ("system", "Be brief."),
        ("user", [text("What is "), UPLOAD, text("this?")]),
        ("assistant", ""),
        ("user", "And now?"),
    )
    assert parsed.messages == (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "What is this?", 1),
        ChatMessage("assistant", ""),
        ChatMessage("user", "And now?"),
    )
    assert (parsed.sampling.temperature, parsed.sampling.top_p, parsed.reasoning) == (0.2, 0.9, False)
    assert parse(("user", "Why?"), reasoning=True).reasoning
    assert parse(("user", [UPLOAD])).messages == (ChatMessage("user", "", 1),)


def test_the_form_of_the_answer_is_asked_for_in_the_last_message() -> None:
    parsed = parse(("user", "One"), ("user", "Two"), response_format={"type": "csv"})
    asked = catalogue().formats["csv"]
    assert [message.text for message in parsed.messages] == ["One", f"Two\n\n{asked}"]
    assert parsed.schema is None
    assert parse(("user", "One"), response_format={"type": "json_object"}).schema


def test_images_in_order() -> None:
    openai = {"type": "image_url", "image_url": {"url": "data:1"}}
    plain = {"type": "image_url", "image_url": "data:2"}
    ours = {"type": "image", "image_url": "data:3"}
    given = turns(("user", [UPLOAD, openai, text("x")]), ("assistant", "y"), ("user", [plain, ours]))
    assert list(image_refs(given)) == [
        ImageRef("i"),
        ImageRef(image_url="data:1"),
        ImageRef(image_url="data:2"),
        ImageRef(image_url="data:3"),
    ]
    parsed = parse_request(wire.RequestCreate(request_id="r", skill="chat", messages=given))
    assert [message.images for message in parsed.messages] == [2, 0, 2]


@pytest.mark.parametrize("given", [None, ()])
def test_without_messages(given: Any) -> None:
    with pytest.raises(errors.MissingParameter) as caught:
        parse_request(wire.RequestCreate(request_id="r", skill="chat", messages=given))
    assert caught.value.param == "messages"


def test_roles_and_their_order() -> None:
    assert "system, user, assistant" in refused(errors.InvalidParameter, ("developer", "x"), ("user", "y"))
    assert "messages[1]" in refused(errors.InvalidParameter, ("user", "x"), ("system", "y"), ("user", "z"))
    assert "assistant" in refused(errors.InvalidParameter, ("user", "x"), ("assistant", "y"))
    assert "last" in refused(errors.InvalidParameter, ("system", "x"))


@pytest.mark.parametrize("content", ["", "  \n", [], [{"type": "text", "text": " "}]])
def test_messages_that_say_nothing(content: Any) -> None:
    assert "messages[0]" in refused(errors.MissingParameter, ("user", content), ("user", "x"))
    refused(errors.MissingParameter, ("user", "x"), ("user", content))


@pytest.mark.parametrize(
    "part",
    [
        3,
        "text",
        {},
        {"type": "video"},
        {"type": "text"},
        {"type": "text", "text": 3},
        {"type": "image"},
        {"type": "image", "image_id": 3},
        {"type": "image", "image_id": "i", "image_url": "data:x"},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": 3}},
    ],
)
def test_parts_of_other_kinds(part: Any) -> None:
    message = refused(errors.InvalidParameter, ("user", [text("x"), part]))
    assert "messages[0]" in message
    assert '"image_id"' in message
    assert list(image_refs(turns(("user", [part])))) == []


@pytest.mark.parametrize("content", [3, {"type": "text", "text": "x"}, True])
def test_contents_of_other_kinds(content: Any) -> None:
    refused(errors.InvalidParameter, ("user", content))


def test_images_belong_to_the_user() -> None:
    message = refused(errors.InvalidParameter, ("assistant", [UPLOAD]), ("user", "x"))
    assert "messages[0]" in message
    with pytest.raises(errors.InvalidParameter) as caught:
        parse(("user", "x"), image_id="i")
    assert caught.value.param == "image_id"


def test_bounds() -> None:
    assert parse(("user", [UPLOAD] * MAX_IMAGES)).messages[0].images == MAX_IMAGES
    assert str(MAX_IMAGES) in refused(errors.TooManyImages, ("user", [UPLOAD] * (MAX_IMAGES + 1)))
    assert str(MAX_MESSAGES) in refused(errors.InvalidParameter, *[("user", "x")] * (MAX_MESSAGES + 1))
    half = "x" * (MAX_PROMPT_CHARS // 2)
    assert parse(("user", half), ("user", half)).messages
    refused(errors.ContextLengthExceeded, ("user", half), ("user", half + "x"))


def test_half_a_surrogate_pair() -> None:
    assert "messages[1]" in refused(errors.InvalidParameter, ("user", "x"), ("user", "\ud800"))


def test_a_response_format_on_other_skills() -> None:
    create = wire.RequestCreate(
        request_id="r", skill="caption", image_id="i", response_format={"type": "text"}
    )
    with pytest.raises(errors.UnsupportedParameter) as caught:
        parse_request(create)
    assert caught.value.param == "response_format"
    assert "query and chat" in caught.value.message
