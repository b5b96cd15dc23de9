"""What the engine writes down: one object in each line, ids and numbers, and nothing of what was asked."""

from __future__ import annotations

import io
import json
import logging

import pytest

from dreamscope.engine import logs
from dreamscope.engine.logs import JsonLines, Plain, configure

SECRET = "a photo of my passport"


@pytest.fixture
def logger():
    """A logger of its own, with what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.Logger("dreamscope.test")
    logger.addHandler(handler)

    def write(formatter: logging.Formatter) -> str:
        handler.setFormatter(formatter)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.exception("failed", extra={"fields": {"request_id": "a\nb", "none": None, "ms": 1.5}})
        return stream.getvalue()

    return write


def test_json_is_one_object_in_each_line_without_the_words_of_exceptions(logger):
    (line,) = logger(JsonLines()).splitlines()
    told = json.loads(line)
    assert told["time"].endswith("Z")
    assert (told["level"], told["logger"], told["message"]) == ("error", "dreamscope.test", "failed")
    assert (told["request_id"], told["ms"], told["error"]) == ("a\nb", 1.5, "ValueError")
    assert told["stack"][-1].endswith(" write")
    assert "none" not in told
    assert SECRET not in line


def test_text_tells_the_words_of_exceptions_unless_it_is_private(logger):
    told = logger(Plain(private=False))
    assert told.startswith('ERROR dreamscope.test: failed request_id="a\\nb" ms=1.5\nTraceback')
    assert SECRET in told


def test_private_text_does_not(logger):
    told = logger(Plain(private=True))
    assert told.splitlines()[-1] == "ValueError"
    assert " write\n" in told
    assert SECRET not in told


def test_those_who_write_down_frames_and_headers_are_kept_quiet(monkeypatch):
    names = [*logs.TALKATIVE, None]
    before = {name: logging.getLogger(name).level for name in names}
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    try:
        configure("debug", "json", private=False, stream=io.StringIO())
        assert root.level == logging.DEBUG
        for name in ("websockets.server", "uvicorn.error", "httpcore.http11", "PIL.PngImagePlugin"):
            assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
