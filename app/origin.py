"""Which pages may open the websocket and change something. Browsers do not restrict that themselves."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_OWN_SITES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site` that no other site can cause."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def own_page(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from a page of this server, or from a client that is no browser.

    Browsers tell the origin of whatever may change something; most tell also from what site it came, which
    holds where a page could keep its origin to itself.
    """
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return False
    return same_origin(headers.get("origin"), headers.get("host"))


def same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a page of `origin` was served by `host` (both as in the request's headers).

    Clients that are no browser send no origin and are let in: they can reach the server anyway.
    """
    if origin is None:
        return True
    try:
        page = urlsplit(origin)
        default = _DEFAULT_PORTS.get(page.scheme)
        here = urlsplit(f"//{host or ''}")
        return (
            default is not None
            and page.hostname is not None
            and page.hostname == here.hostname
            and (page.port or default) == (here.port or default)
        )
    except ValueError:  # a port that is not a number
        return False
