"""The price of a model: where it comes from, and that it travels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dreamscope.engine import wire
from dreamscope.engine.models.registry import MODELS
from dreamscope.engine.prices import PRICES, published_price


def test_sprites_have_no_price_and_what_the_cloud_serves_has_its_own() -> None:
    prices = {model_id: spec.info().price for model_id, spec in MODELS.items()}
    assert prices["sprite-2"] is prices["sprite-3"] is None
    assert prices["moondream3-preview"] == wire.Price(0.3, 2.5, "Moondream Cloud, Moondream 3 preview")
    assert prices["moondream3.1-9B-A2B"] == wire.Price(0.3, 1.0, "Moondream Cloud, Moondream 3.1")
    assert prices["moondream2"] == prices["moondream3-preview"]  # and its name says so


def test_every_price_belongs_to_a_model_that_is_known() -> None:
    assert set(PRICES) <= {model_id.lower() for model_id in MODELS}


@pytest.mark.parametrize("name", ["moondream/moondream3-preview", "Moondream3-Preview"])
def test_the_name_may_be_spelt_as_the_cloud_spells_it(name: str) -> None:
    assert published_price(name) == PRICES["moondream3-preview"]
    assert published_price("somebody/" + name) is None


def test_a_price_travels_with_the_model() -> None:
    info = replace(MODELS["moondream2"].info(), price=wire.Price(0.3, 1, "Cloud"))
    message = wire.Models((info, replace(info, price=None)))
    assert wire.decode(wire.encode(message)) == message
    assert '"price":{"input_usd_per_million":0.3' in wire.encode(message)
    assert wire.encode(message).count('"price"') == 1
