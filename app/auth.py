"""Who may use a page that others can reach: whoever has its key. And which names it may be reached by.

    Gate(app, Access(key="…"))        in front of everything: our routes, Gradio's, and the websockets

With a key: `/?key=KEY` sets a cookie and goes on without it; scripts send `Authorization: Bearer KEY`;
everything else is answered with 401. Shared pages below `/s/` are for anybody who knows their address.

Without a key the page is for this machine alone. A name that somebody else made point here would let his page
talk to ours as if it were its own, so only the names of this machine and those that were allowed are served.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dreamscope.app import words
from dreamscope.engine.settings import Values

OPEN_PATHS = "/s/"
_YEAR_S = 365 * 86_400
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Access:
    """`key` is what everybody must show, `None` for nobody; `hosts` are names that are served without one,
    besides those of this machine.
    """

    key: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Values) -> Access:
        """What the settings ask for; where others can reach the page and no key is given, one is made."""
        reachable = values["share"] or not is_loopback(values["host"])
        key = values["key"] or (secrets.token_urlsafe(24) if reachable else None)
        return cls(key, values["allowed_hosts"])

    def address(self, url: str) -> str:
        """`url` with the key, for the one who starts the page."""
        return url if self.key is None else f"{url}/?{urlencode({'key': self.key})}"


class Gate:
    """ASGI middleware that lets through what `access` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._token = None if access.key is None else _digest(f"dreamscope page {access.key}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        if self._token is None:
            return None if self._known(asked.headers.get("host")) else _plain(421, words.HOST_UNKNOWN)
        if asked.scope["path"].startswith(OPEN_PATHS) and asked.scope.get("method") in ("GET", "HEAD"):
            return None
        given = asked.query_params.get("key")
        if given is not None and asked.scope["type"] == "http" and self._fits(given):
            return self._welcome(asked)
        return None if self._shown(asked) else _plain(401, words.KEY_MISSING)

    def _known(self, host: str | None) -> bool:
        name = host_name(host)
        return name is not None and (is_loopback(name) or name in self._access.hosts)

    def _fits(self, key: str) -> bool:
        assert self._access.key is not None
        return hmac.compare_digest(_digest(key), _digest(self._access.key))

    def _shown(self, asked: HTTPConnection) -> bool:
        """Whether cookie or header show the key. Digests have one length, so time tells nothing."""
        assert self._token is not None
        scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._fits(bearer.strip()):
            return True
        cookie = _cookies(asked.headers).get(_cookie_name(asked.scope), "")
        return hmac.compare_digest(_digest(cookie), _digest(self._token))

    def _welcome(self, asked: HTTPConnection) -> Response:
        """Keep who showed the key in a cookie, and take the key out of the address."""
        assert self._token is not None
        rest = [pair for pair in parse_qsl(asked.url.query, keep_blank_values=True) if pair[0] != "key"]
        path = "/" + quote(asked.scope["path"].lstrip("/\\"))  # never the address of another host
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303, dict(_HEADERS))
        answer.set_cookie(
            _cookie_name(asked.scope),
            self._token,
            max_age=_YEAR_S,
            httponly=True,
            samesite="lax",
            secure=asked.url.scheme == "https",
        )
        return answer


def host_name(host: str | None) -> str | None:
    """The name in a `Host` header, without its port; `None` if there is none."""
    try:
        return urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return None


def is_loopback(name: str) -> bool:
    """True for `localhost` and the addresses of this machine's loopback."""
    plain = name.strip("[]").lower().removesuffix(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return False


def _cookie_name(scope: Scope) -> str:
    """Of this port, since the cookies of all ports of a host are one jar."""
    server = scope.get("server")
    return f"dreamscope_{server[1] if server else 0}"


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, _HEADERS)
