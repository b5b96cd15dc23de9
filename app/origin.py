"""Which pages may open the page's websocket. Browsers do not restrict that themselves."""

from __future__ import annotations

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


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
