"""`keys`: making, listing and revoking the API keys that servers on this machine ask for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from dreamscope.engine.server.charges import account_json, cost_of, moment
from dreamscope.engine.server.keystore import Key, KeysError, KeyStore, Usage
from dreamscope.engine.settings import SettingError

PRESETS: Mapping[str, float] = {"cloud-free": 2.0, "cloud-paid": 10.0}
"""Requests per second that Moondream Cloud allows."""
_HEADER = ("NAME", "LIMIT", "MADE", "LAST USED", "REQUESTS", "INPUT", "OUTPUT", "WOULD HAVE COST")
_PRICED = "Would have cost: by the published price of the same model at Moondream Cloud, where there is one."


def add_actions(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Give `parser` the actions; returns their parsers."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key, which is shown this once")
    create.add_argument("name", metavar="NAME", help="what to call it, such as who gets it")
    presets = ", ".join(f"{name} ({rate:g})" for name, rate in PRESETS.items())
    create.add_argument(
        "--limit",
        metavar="RATE",
        help=f"requests per second: a number, or {presets} as Moondream Cloud has them [default: none]",
    )
    listing = actions.add_parser("list", help="list the keys and what each has used")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    revoke = actions.add_parser("revoke", help="end a key; running servers refuse it from then on")
    revoke.add_argument("name", metavar="NAME", help="of the key")
    return [create, listing, revoke]


def run(options: argparse.Namespace, folder: Path, out: TextIO) -> None:
    """Do what was asked. Raises `SettingError` saying why that cannot be done."""
    store = KeyStore(folder)
    try:
        match options.action:
            case "create":
                key = store.create(options.name, rate_of(options.limit))
                print(
                    "Shown this once; send it as Authorization: Bearer or X-Moondream-Auth.", file=sys.stderr
                )
                out.write(f"{key}\n")
            case "revoke":
                store.revoke(options.name)
                out.write(f"{options.name} is revoked.\n")
                if all(each.revoked is not None for each in store.entries()):
                    out.write(f"No key is left, so nobody is let in. Delete {store.path} to need none.\n")
            case "list" if options.json:
                out.write(json.dumps([account_json(key) for key in store.entries()], indent=2) + "\n")
            case "list":
                out.writelines(table(store.entries()))
    except KeysError as error:
        raise SettingError(str(error)) from None


def rate_of(text: str | None) -> float | None:
    """`--limit` as requests per second; `None` for no limit. Raises `SettingError`."""
    if text is None:
        return None
    if text in PRESETS:
        return PRESETS[text]
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 100_000:
        raise SettingError(f"--limit: {text!r:.40} is neither a number above 0 nor {' or '.join(PRESETS)}.")
    return rate


def table(keys: Iterable[Key]) -> list[str]:
    """The list for people, line by line."""
    rows = [_HEADER, *(_row(key) for key in keys)]
    if len(rows) == 1:
        return ["There are no keys, so none is needed. Make one with: dreamscope keys create NAME\n"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [f"{line}\n" for line in [*lines, _PRICED]]


def _row(key: Key) -> tuple[str, ...]:
    total = sum(key.usage.values(), Usage())
    cost = cost_of(key.usage)
    limit = "none" if key.per_second is None else f"{key.per_second:g}/s"
    return (
        key.name,
        limit if key.revoked is None else "revoked",
        moment(key.created)[:10],
        "never" if key.used is None else moment(key.used)[:16].replace("T", " "),
        f"{total.requests:,}",
        f"{total.input_tokens:,}",
        f"{total.output_tokens:,}",
        "–" if cost is None else f"${cost:.4f}",
    )
