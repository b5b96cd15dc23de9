"""HTTP to one endpoint: bounded, verified, and every failure an error that names the endpoint.

Redirects are not followed, certificates are checked, compressed and oversized answers are refused, and a
request is repeated only when the endpoint says when (429 or 503 with Retry-After), for a short while.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from dreamscope.engine import errors
from dreamscope.engine.remote.checked import BadAnswer, parse_object, short_text
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.key import Key
from dreamscope.engine.remote.reading import EndpointError, message_of
from dreamscope.engine.remote.sse import EventStream

_log = logging.getLogger(__name__)

CONNECT_S = 5.0
ATTEMPTS = 5
LONGEST_WAIT_S = 10
ANSWER_BYTES = 16 * 2**20
EVENT_BYTES = 2**20
ERROR_BYTES = 64 * 2**10


class Reply:
    """A successful answer. Exactly one of `events` and `whole` is read."""

    def __init__(self, response: httpx.Response, key: Key | None) -> None:
        self._response = response
        self._key = key

    @property
    def streams(self) -> bool:
        """Whether it is a stream of events."""
        return self._response.headers.get("content-type", "").lower().startswith("text/event-stream")

    @property
    def answerer(self) -> str | None:
        """The model that answers, if the endpoint says so."""
        return self._response.headers.get("x-model")

    async def events(self) -> AsyncGenerator[list[str]]:
        """The data of the events that each read from the network completes. Raises `BadAnswer`."""
        stream = EventStream()
        async with aclosing(pieces(self._response, ANSWER_BYTES)) as arriving:
            async for piece in arriving:
                yield [self._hidden(data) for data in stream.feed(piece)]
                if stream.pending > EVENT_BYTES:
                    raise BadAnswer("one of its events is too long")
        yield [self._hidden(data) for data in stream.close()]

    async def whole(self) -> dict[str, Any]:
        """The object that the answer is. Raises `BadAnswer`."""
        text = await text_of(self._response, ANSWER_BYTES)
        return parse_object(self._hidden(text))

    def _hidden(self, text: str) -> str:
        return text if self._key is None else self._key.hidden(text)


class Link:
    """The connections to one endpoint, of one event loop."""

    def __init__(self, endpoint: Endpoint, key: Key | None) -> None:
        self._endpoint = endpoint
        self._key = key
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **({} if key is None else key.headers())},
            timeout=httpx.Timeout(endpoint.timeout, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=not endpoint.nearby,
            verify=True if endpoint.url.startswith("https:") else _no_certificates(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, *, at_root: bool = False) -> dict[str, Any] | None:
        """The JSON object at `path`; `None` if there is nothing or something else.

        Raises `RemoteBusy`, `RemoteFailed` or `ModelUnavailable` if the endpoint cannot be used at all.
        """
        url = self._root() + path if at_root else self._endpoint.url + path
        with failures_of(self._endpoint):
            async with self._client.stream("GET", url) as response:
                if response.status_code == 200:
                    try:
                        return await Reply(response, self._key).whole()
                    except BadAnswer:
                        return None
                if response.status_code in (400, 404, 405, 501):
                    return None
                raise await self._refusal(response)

    @asynccontextmanager
    async def ask(self, path: str, body: dict[str, Any]) -> AsyncIterator[Reply]:
        """POST `body`, again if the endpoint says when. Raises as `failures_of`, and what statuses mean."""
        url = self._endpoint.url + path
        with failures_of(self._endpoint):
            for attempt in range(1, ATTEMPTS + 1):
                async with self._client.stream("POST", url, json=body) as response:
                    if response.status_code == 200:
                        yield Reply(response, self._key)
                        return
                    wait = _retry_after(response) if attempt < ATTEMPTS else None
                    if wait is None:
                        raise await self._refusal(response)
                await asyncio.sleep(wait)

    def _root(self) -> str:
        parts = urlsplit(self._endpoint.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/v1')}"

    async def _refusal(self, response: httpx.Response) -> errors.DreamscopeError:
        """What an answer other than 200 means."""
        name, status = self._endpoint.name, response.status_code
        if 300 <= status < 400:
            return errors.RemoteFailed(
                f"{name} answers with a redirect, which is not followed; give the address where it leads."
            )
        said = await self._said(response)
        if status in (401, 403):
            what = "refuses its key" if self._key else "wants a key, see --endpoint-key"
            return errors.ModelUnavailable(f"{name} {what}{said and f'; it says: {said}'}")
        sentence = (
            f"{name} says: {said}" if said else f"{name} answers with status {status} and says nothing."
        )
        if status in (429, 503):
            return errors.RemoteBusy(sentence)
        if 400 <= status < 500 and status != 408:
            return errors.RemoteRefused(sentence)
        return errors.RemoteFailed(sentence)

    async def _said(self, response: httpx.Response) -> str:
        try:
            text = await text_of(response, ERROR_BYTES)
            return message_of(parse_object(text if self._key is None else self._key.hidden(text)))
        except BadAnswer:
            return ""


@contextmanager
def failures_of(endpoint: Endpoint) -> Iterator[None]:
    """What goes wrong inside comes out as an error that says so of the endpoint.

    Runs are shared with their errors, so the address of the endpoint goes to the log alone.
    """
    name = endpoint.name
    try:
        yield
    except BadAnswer as error:
        raise errors.RemoteFailed(f"{name} sent what is no answer: {error}.") from None
    except EndpointError as error:
        raise errors.RemoteFailed(f"{name} says: {error}") from None
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        why = short_text(str(error)) or "no answer"
        _log.warning("%s cannot be reached at %s: %s", name, endpoint.url, why)
        raise errors.RemoteFailed(f"{name} cannot be reached: {why}.") from None
    except httpx.TimeoutException:
        raise errors.RemoteFailed(f"{name} said nothing for {endpoint.timeout:g} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise errors.RemoteFailed(f"{name} broke the connection.") from None


async def pieces(response: httpx.Response, limit: int) -> AsyncGenerator[bytes]:
    """The body as it arrives. Raises `BadAnswer` for a compressed or too long one."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadAnswer("it is compressed, which was not asked for")
    received = 0
    async for piece in response.aiter_raw():
        received += len(piece)
        if received > limit:
            raise BadAnswer(f"it has more than {limit:,} bytes")
        yield piece


async def text_of(response: httpx.Response, limit: int) -> str:
    """The whole body as text. Raises `BadAnswer`."""
    body = b"".join([piece async for piece in pieces(response, limit)])
    return body.decode("utf-8", "replace")


def _no_certificates() -> ssl.SSLContext:
    """For endpoints without TLS: reading the world's certificates takes a while. It would trust nobody."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _retry_after(response: httpx.Response) -> float | None:
    """How long the endpoint asks us to wait; `None` if it does not, or too long."""
    text = response.headers.get("retry-after", "").strip()
    if response.status_code not in (429, 503) or not text.isascii() or not text.isdigit():
        return None
    seconds = int(text[:6])
    return float(seconds) if seconds <= LONGEST_WAIT_S else None
