"""Downloads go on where they were cut off, and damaged files are found out: with a hub on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.registry import MODELS, HubFile, HubSource, ModelSpec, find_model
from dreamscope.engine.weights.hub import is_local, local_files, locate
from dreamscope.engine.weights.progress import Progress
from dreamscope.engine.weights.verify import check_bytes, verify

COMMIT = "c0ffee" * 6 + "beef"
CONTENT = bytes(range(256)) * 40_000
TOKENIZER = b"{}"


class Hub(ThreadingHTTPServer):
    """Two files, and the ranges of them that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.files = {"model.safetensors": CONTENT, "tokenizer.json": TOKENIZER}
        self.ranges: list[str] = []


class Asked(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        if not self._known():
            return
        self._head(200, self._content())

    def do_GET(self) -> None:
        if not self._known():
            return
        content, wanted = self._content(), self.headers.get("Range", "")
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0) if wanted else 0
        self._head(206 if start else 200, content[start:], start, len(content))
        with contextlib.suppress(ConnectionError):  # whoever asked may have left
            self.wfile.write(content[start:])

    def _known(self) -> bool:
        """Whether it is one of the files; the library asks for other things, too."""
        known = self.path.rpartition("/")[2] in self.server.files
        if not known:
            self.send_error(404)
        return known

    def _content(self) -> bytes:
        return self.server.files[self.path.rpartition("/")[2]]

    def _head(self, status: int, content: bytes, start: int = 0, total: int = 0) -> None:
        digest = hashlib.sha256(self._content()).hexdigest()
        self.send_response(status)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub at an address of this machine, with an empty download cache."""
    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


@pytest.fixture
def spec() -> ModelSpec:
    source = HubSource(
        HubFile("lab/model", "model.safetensors", "main"), HubFile("lab/model", "tokenizer.json", "main"), 10
    )
    return ModelSpec(id="lab", name="Lab", description="", hub=source)


def test_a_download_goes_on_where_a_process_that_was_killed_left_it(
    hub: Hub, spec: ModelSpec, tmp_path: Path
) -> None:
    blobs = tmp_path / "cache" / "models--lab--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(CONTENT).hexdigest()}.partial").write_bytes(CONTENT[:5_000_000])
    assert not is_local(spec)
    reports: list[Progress] = []
    locate(spec, reports.append)
    weights, tokenizer = local_files(spec)
    assert weights.read_bytes() == CONTENT
    assert tokenizer.read_bytes() == TOKENIZER
    assert [wanted for wanted in hub.ranges if wanted] == ["bytes=5000000-"]
    assert max(report.done for report in reports) == len(CONTENT)
    assert not list(blobs.glob("*.partial"))
    check_bytes(weights)


def test_a_hub_that_does_not_answer_is_named(hub: Hub, spec: ModelSpec) -> None:
    hub.server_close()
    hub.shutdown()
    with pytest.raises(WeightsNotFound, match="Lab is not on this machine and cannot be downloaded"):
        locate(spec)


def test_a_damaged_download_is_removed_and_can_be_fetched_anew(hub: Hub, spec: ModelSpec) -> None:
    locate(spec)
    weights, _ = local_files(spec)
    damaged = bytearray(CONTENT)
    damaged[5_000_000] ^= 1
    weights.resolve().write_bytes(damaged)
    with pytest.raises(WeightsInvalid, match=r"model\.safetensors arrived damaged and was removed"):
        check_bytes(weights)
    assert not is_local(spec)
    locate(spec)
    check_bytes(local_files(spec)[0])


def test_the_shipped_weights_are_whole() -> None:
    reports: list[Progress] = []
    for name in ("sprite-2", "sprite-3"):
        verify(MODELS[name], locate(MODELS[name]), reports.append)
    assert reports[-1].done == reports[-1].total


def test_damage_in_the_package_is_told(tmp_path: Path) -> None:
    place = MODELS["sprite-2"].directory()
    assert place is not None
    shutil.copytree(place, tmp_path / "copy")
    weights = tmp_path / "copy" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsInvalid, match="is damaged"):
        check_bytes(weights)


def test_a_local_checkpoint_that_lacks_a_tensor_is_told(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "mine")
    weights = tmp_path / "mine" / "model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(key for key in header if key.endswith("weight"))
    header[name + ".gone"] = header.pop(name)
    written = json.dumps(header).encode()
    weights.write_bytes(len(written).to_bytes(8, "little") + written + data[8 + length :])
    spec = find_model(str(tmp_path / "mine"))
    with pytest.raises(WeightsInvalid, match="lacks"):
        verify(spec, locate(spec))
