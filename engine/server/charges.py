"""The account of a key: what it has used, and what that would have cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dreamscope.engine.prices import published_price
from dreamscope.engine.server.keystore import Key, Usage


def cost_of(usage: Mapping[str, Usage]) -> float | None:
    """US dollars that the same tokens cost at published prices; `None` if no model of them has one."""
    costs = []
    for model, used in usage.items():
        price = published_price(model)
        if price is not None:
            spent = used.input_tokens * price.input_usd_per_million
            costs.append((spent + used.output_tokens * price.output_usd_per_million) / 1e6)
    return sum(costs) if costs else None


def account_json(key: Key) -> dict[str, Any]:
    """The key without anything secret, its sums, and its usage by model, as plain JSON values."""
    return {
        "name": key.name,
        "requests_per_second": key.per_second,
        "created": moment(key.created),
        "last_used": None if key.used is None else moment(key.used),
        "revoked": None if key.revoked is None else moment(key.revoked),
        **_counts(key.usage),
        "usage": {model: _counts({model: used}) for model, used in key.usage.items()},
    }


def moment(seconds: float) -> str:
    """Unix seconds as a date and time of day, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _counts(usage: Mapping[str, Usage]) -> dict[str, Any]:
    total = sum(usage.values(), Usage())
    return {
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "usd": cost_of(usage),
    }
