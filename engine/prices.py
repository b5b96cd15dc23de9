"""Published prices of hosted models: what tokens cost there, or would have cost instead of here.

As of 2026-10-07, from https://moondream.ai/pricing (real-time requests) and https://docs.moondream.ai/pricing.
A model of which no price is published has none; nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dreamscope.engine import wire

_MOONDREAM_3 = wire.Price(0.30, 2.50, "Moondream Cloud, Moondream 3 preview")
_MOONDREAM_31 = wire.Price(0.30, 1.00, "Moondream Cloud, Moondream 3.1")

PRICES: Mapping[str, wire.Price] = MappingProxyType(
    {
        # The Cloud does not list Moondream 2. Tokenizer and tokens per image are those of Moondream 3, so
        # what the same tokens cost with that one is known, and the name says that it is that one.
        "moondream2": _MOONDREAM_3,
        "moondream3-preview": _MOONDREAM_3,
        "moondream3.1-9b-a2b": _MOONDREAM_31,
    }
)
"""By the id of the model in lower case."""


def published_price(model_id: str) -> wire.Price | None:
    """The price of this model, with or without `moondream/` in front, in any case."""
    return PRICES.get(model_id.lower().removeprefix("moondream/"))
