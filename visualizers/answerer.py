"""What was known of a model when it answered: its name, where it ran, and what its tokens cost then.

Kept with the run, so that neither a new name nor a new price changes what happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamscope.engine import wire

LONGEST = 300


@dataclass(frozen=True, slots=True)
class Answerer:
    """`name` as people read it; `endpoint` the name of the remote endpoint, empty for this machine; `price`
    what the endpoint charges, or of a model on this machine what another place would.
    """

    name: str = ""
    endpoint: str = ""
    price: wire.Price | None = None


def answerer_of(model: wire.ModelInfo) -> Answerer:
    """The facts of an entry of the model list. The id of a remote model begins with its endpoint's name."""
    remote = model.id.startswith(f"{model.owned_by}/")
    return Answerer(model.name, model.owned_by if remote else "", model.price)


def answerer_from_json(data: Any) -> Answerer:
    """Inverse of `wire.to_json`, of data that may be foreign. Raises `ValueError`."""
    if not isinstance(data, dict):
        raise ValueError("answerer must be an object.")
    try:
        known: Answerer = wire.from_json(Answerer, data)
    except wire.WireError as error:
        raise ValueError(f"answerer does not fit: {error}") from None
    if max(len(known.name), len(known.endpoint), len(known.price.name) if known.price else 0) > LONGEST:
        raise ValueError(f"The names in answerer have up to {LONGEST} characters.")
    if known.price and not all(usd >= 0 for usd in _rates(known.price)):
        raise ValueError("The prices in answerer must be 0 or more.")
    return known


def _rates(price: wire.Price) -> tuple[float, float]:
    return price.input_usd_per_million, price.output_usd_per_million
