"""The whole application, as one meets it who means no good."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from PIL import Image
from starlette.routing import BaseRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from dreamscope.app.auth import Access, Gate
from dreamscope.app.images import normalise
from dreamscope.app.main import build_app, build_routes
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.visualizers.record import Record

OURS = "http://localhost:7860"


@dataclass(frozen=True)
class Site:
    """The application with a history in a folder, reached as one reaches it on this machine."""

    app: ASGIApp
    store: Store
    folder: Path
    http: TestClient

    def counts(self) -> tuple[int, ...]:
        """How much is kept of each kind."""
        kept = self.store.storage()
        batches = len(self.store.batches())
        return kept.runs, kept.deleted, kept.images, kept.shares, batches


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept") / "data"
    store = Store.open(folder)
    app = build_app(RemoteEngine("ws://127.0.0.1:1"), store)
    with TestClient(Gate(app, Access()), OURS, raise_server_exceptions=False, follow_redirects=False) as http:
        yield Site(app, store, folder, http)
    store.close()


@pytest.fixture(scope="package")
def photo() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def run(site: Site, make_query: Callable[..., Record], photo: bytes) -> Record:
    """A run with an image, and nothing else in the history."""
    site.store.clear()
    record = make_query(id="run1", picture=site.store.put_image(normalise(photo)))
    site.store.begin(record)
    site.store.flush()
    return record


@pytest.fixture(scope="session")
def reading() -> tuple[str, ...]:
    """The paths of everything of ours that can be read."""
    with contextlib.closing(Store.open(None)) as store:
        found = _routes(build_routes(RemoteEngine("ws://127.0.0.1:1"), (), store).routes)
        return tuple(sorted(route.path for route in found if "GET" in route.methods))


@pytest.fixture(scope="session")
def changing() -> tuple[str, ...]:
    """`METHOD /path` of everything of ours that changes something."""
    with contextlib.closing(Store.open(None)) as store:
        found = _routes(build_routes(RemoteEngine("ws://127.0.0.1:1"), (), store).routes)
        return tuple(
            sorted(
                f"{method} {route.path}"
                for route in found
                for method in route.methods - {"GET", "HEAD", "OPTIONS"}
                if route.path != "/api/{rest:path}"
            )
        )


def _routes(routes: list[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(included.routes)
        elif isinstance(route, APIRoute):
            yield route


@pytest.fixture(scope="session")
def refused() -> Callable[..., str]:
    """`refused(answer, *statuses)`: the sentence of an answer in the one error shape."""
    return _refused


def _refused(answer: httpx.Response, *statuses: int) -> str:
    """The sentence of an answer in the one error shape."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    said = answer.json()
    assert set(said) == {"error"}, said
    assert set(said["error"]) <= {"message", "field"}, said
    message = said["error"]["message"]
    assert isinstance(message, str)
    assert message
    assert "Traceback" not in message
    return str(message)
