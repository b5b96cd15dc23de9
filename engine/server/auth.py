"""Who may talk to the server: keys, and the pages that may open a websocket."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key of `X-Moondream-Auth` or `Authorization: Bearer`; empty counts as absent."""
    direct = headers.get("x-moondream-auth", "").strip()
    if direct:
        return direct
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def owner_of(key: str | None, keys: Sequence[str]) -> str | None:
    """Name of the key's owner, or `None` when the key is wrong or missing. Without configured keys everyone
    is the same owner. Constant time in the key, and the name does not contain it.
    """
    if not keys:
        return "anyone"
    given = hashlib.sha256((key or "").encode("utf-8", "surrogatepass")).digest()
    owner = None
    for index, known in enumerate(keys):
        if hmac.compare_digest(given, hashlib.sha256(known.encode()).digest()):
            owner = f"key-{index}"
    return owner if key else None


def origin_allowed(origin: str | None, host: str | None, configured: Sequence[str]) -> bool:
    """May a page of `origin` open the websocket of `host` (both as in the headers)?

    A websocket has no CORS, so any page could open it: allowed are clients that are no page, pages from the
    same host, from this machine, and from the configured origins (`scheme://host[:port]`).
    """
    if origin is None:
        return True
    if any(origin.rstrip("/").lower() == allowed.rstrip("/").lower() for allowed in configured):
        return True
    page = _host_name(origin)
    if page is None:
        return False
    return is_loopback(page) or page == _host_name(f"//{host or ''}")


def is_loopback(host: str) -> bool:
    """True for `localhost` and the addresses of this machine's loopback."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_known(host: str | None, allowed: Sequence[str]) -> bool:
    """May a server that needs no key be reached by the name in this `Host` header?

    Somebody can make a name of theirs point at this machine, and a page from there would then be of the same
    origin as this server. They cannot do that with an address, nor with a name of the loopback; other names
    are listed in `allowed`. Programs that send no `Host` are no page.
    """
    if host is None:
        return True
    name = _host_name(f"//{host}")
    if name is None:
        return False
    return is_loopback(name) or _is_address(name) or name in (each.lower() for each in allowed)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname
