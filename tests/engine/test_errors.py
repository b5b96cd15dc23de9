"""One error shape, and one meaning per code."""

from __future__ import annotations

import pytest

from dreamscope.engine import errors, wire


def family(cls: type[errors.DreamscopeError] = errors.DreamscopeError) -> list[type[errors.DreamscopeError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in family(sub))]


STATUS_OF_TYPE = {
    "invalid_request_error": {400, 405, 413},
    "authentication_error": {401},
    "permission_error": {403},
    "not_found_error": {404},
    "rate_limit_error": {429},
    "server_error": {500, 503, 504},
    "not_implemented_error": {501},
}


@pytest.mark.parametrize("cls", family())
def test_every_class_has_the_one_shape(cls):
    error = cls("Something is wrong.", "field")
    info = error.info()
    assert info == wire.ErrorInfo("Something is wrong.", cls.type, cls.code, "field", cls.retryable)
    assert cls.status in STATUS_OF_TYPE[info.type]
    assert str(error) == "Something is wrong."
    assert cls.__doc__
    assert wire.from_json(wire.ErrorInfo, wire.to_json(info)) == info


def test_quotes_of_megabytes_are_cut():
    info = errors.ModelNotFound("No model " + "x" * 1_000_000, "y" * 1_000_000).info()
    assert info.message.startswith("No model xxx")
    assert len(info.message) < 1000
    assert len(info.param or "") == errors.MAX_PARAM


def test_a_code_means_one_thing():
    meanings: dict[str, set] = {}
    for cls in family():
        meanings.setdefault(cls.code, set()).add((cls.type, cls.status, cls.retryable))
    assert all(len(meaning) == 1 for meaning in meanings.values()), meanings


def test_the_codes_of_the_protocol_exist():
    assert {cls.code for cls in family()} >= {
        "invalid_json", "missing_parameter", "invalid_parameter", "invalid_image_url", "image_decode_failed",
        "image_too_large", "unsupported_skill", "unsupported_parameter", "context_length_exceeded",
        "invalid_api_key", "origin_not_allowed", "not_found", "model_not_found", "method_not_allowed",
        "payload_too_large", "queue_full", "internal_error", "not_implemented", "model_loading",
        "shutting_down", "request_timeout", "unknown_type", "request_exists", "request_unknown",
        "too_many_requests", "rate_limit_exceeded", "host_not_allowed",
    }  # fmt: skip


def test_only_a_bad_moment_is_worth_a_retry():
    retryable = {cls.code for cls in family() if cls.retryable}
    here = {"queue_full", "rate_limit_exceeded", "too_many_requests", "model_loading", "shutting_down"}
    assert retryable == {*here, "remote_busy", "remote_failed"}


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("invalid_json", errors.InvalidJson),
        ("unknown_type", errors.UnknownType),
        ("missing_parameter", errors.MissingParameter),
        ("invalid_parameter", errors.InvalidParameter),
    ],
)
def test_schema_errors_become_named_errors(code, cls):
    error = errors.from_wire_error(wire.WireError("No.", "field", code))
    assert type(error) is cls
    assert (error.message, error.param, error.code) == ("No.", "field", code)
