"""`stats`: how a running server is doing, from its `/v1/stats`."""

from __future__ import annotations

import argparse
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, TextIO

from dreamscope.engine.settings import SettingError

_COUNTED = ("requests", "input_tokens", "output_tokens")
DEFAULT_URL = "http://127.0.0.1:2020"
TIMEOUT_S = 10.0
_BARE = urllib.request.ProxyHandler({})  # the server is here or was named; no proxy stands between


class NoAnswer(Exception):
    """The server cannot be asked; the text is a sentence that says why."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of this command alone."""
    parser.add_argument("--url", default=DEFAULT_URL, help=f"where the server is [default: {DEFAULT_URL}]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="ask again and again, until Ctrl-C")


def run(options: argparse.Namespace, key: str | None, out: TextIO) -> None:
    """Print once or again and again. Raises `SettingError` for a wrong flag, `NoAnswer`."""
    if not options.url.startswith(("http://", "https://")):
        raise SettingError(f"--url: {options.url!r:.200} must begin with http:// or https://.")
    if options.every is not None and not 0.1 <= options.every <= 86_400:
        raise SettingError("--every must be from 0.1 to 86400 seconds.")
    while True:
        stats = ask(options.url, key)
        out.write(json.dumps(stats) + "\n" if options.json else table(stats))
        out.flush()
        if options.every is None:
            return
        time.sleep(options.every)


def ask(url: str, key: str | None) -> dict[str, Any]:
    """The statistics of the server at `url`, with or without its `/v1`. Raises `NoAnswer`."""
    address = url.rstrip("/").removesuffix("/v1") + "/v1/stats"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.build_opener(_BARE).open(request, timeout=TIMEOUT_S) as answer:
            stats = json.load(answer)
    except urllib.error.HTTPError as error:
        help_text = " Set DREAMSCOPE_API_KEY to a key of it." if error.code == 401 else ""
        raise NoAnswer(f"{address} answers {error.code} {error.reason}.{help_text}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(f"No server answers at {address}: {reason}. Start one: dreamscope serve") from None
    if not isinstance(stats, dict) or "status" not in stats:
        raise NoAnswer(f"What answers at {address} is no server of models.")
    return stats


def table(stats: Mapping[str, Any]) -> str:
    """Name and value of all that is known, a line each, the account of the key last."""
    known = {name.replace("_", " "): value for name, value in stats.items() if value is not None}
    account = known.pop("account", None)
    if isinstance(account, dict):
        known |= _account(account)
    width = max(map(len, known))
    return "".join(f"{name.ljust(width)}  {_shown(value)}\n" for name, value in known.items())


def _account(account: Mapping[str, Any]) -> dict[str, Any]:
    usd = account.get("usd")
    return {
        "your key": account.get("name"),
        **{f"your {name.replace('_', ' ')}": account.get(name, 0) for name in _COUNTED},
        "would have cost": "–" if usd is None else f"${usd:.4f}",
    }


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
