from __future__ import annotations

import pytest

from dreamscope.app.doors import is_door, without_files

FILE = {"_type": "gradio.FileData"}


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"data": [{"path": "ab" * 32, "meta": FILE, "orig_name": "a.png"}, 1]}, {"data": ["ab" * 32, 1]}),
        ({"data": [{"path": "/etc/passwd", "meta": FILE}]}, {"data": ["/etc/passwd"]}),
        ([{"a": [{"url": "http://x", "path": "http://x", "meta": FILE}]}], [{"a": ["http://x"]}]),
        ({"meta": FILE, "path": {"path": "x", "meta": FILE}}, ""),
        ({"path": "x", "meta": {"_type": "other"}}, {"path": "x", "meta": {"_type": "other"}}),
    ],
)
def test_gradio_never_sees_a_file(given, passed):
    assert without_files(given) == passed


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/call/query", "/gradio_api/mcp/"])
def test_a_door(path):
    assert is_door(path)


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/upload/x", "/gradio_api/call/query/../upload", "/x/gradio_api/mcp", "/gradio_api/run/a"],
)
def test_no_door(path):
    assert not is_door(path)
