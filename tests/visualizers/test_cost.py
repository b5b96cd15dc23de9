"""What a run cost: only what is known, in amounts that people can read."""

from __future__ import annotations

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.answerer import Answerer, answerer_from_json, answerer_of
from dreamscope.visualizers.cost import cost_of, dollars
from dreamscope.visualizers.inspect import metrics as metrics_html
from dreamscope.visualizers.record import Part, Record

PRICE = wire.Price(0.3, 2.5, "Moondream Cloud")


def run(answerer: Answerer | None, *tokens: tuple[int, int]) -> Record:
    create = wire.RequestCreate(request_id="r", skill="caption")
    parts = [
        Part(
            create,
            "done",
            (
                wire.RequestDone(
                    request_id="r",
                    finish_reason="stop",
                    output={"caption": "A dog."},
                    metrics=wire.Metrics(input_tokens=read, output_tokens=written),
                ),
            ),
        )
        for read, written in tokens
    ]
    return Record(
        id="a",
        created_at="",
        skill="caption",
        model="m",
        answerer=answerer,
        parts=tuple(parts) or (Part(create, "interrupted"),),
    )


def test_this_machine_charges_nothing_and_says_what_another_place_would():
    cost = cost_of(run(Answerer("Moondream 3", "", PRICE), (735, 61)))
    assert cost.to_json() == {
        "endpoint": None,
        "charged_usd": 0.0,
        "elsewhere_usd": pytest.approx(0.000373),
        "elsewhere": "Moondream Cloud",
    }
    assert cost.sentence == (
        "On this machine: no charge; Moondream Cloud would charge $0.00037 for these tokens. "
        "$0.30 per million tokens read, $2.50 per million written."
    )


def test_an_endpoint_charges_for_all_parts():
    cost = cost_of(run(Answerer("Big", "cloud", PRICE), (1000, 100), (1000, 300)))
    assert cost.short == "$0.0016"
    assert cost.sentence.startswith("Charged by cloud, $0.0016 for these tokens.")
    assert cost.elsewhere == ""


@pytest.mark.parametrize(
    ("answerer", "tokens", "short", "sentence"),
    [
        (Answerer("Sprite 2"), ((735, 61),), "no charge", "On this machine: no charge."),
        (Answerer("Big", "cloud"), ((735, 61),), "–", "whose price is not known here"),
        (Answerer("Big", "cloud", PRICE), (), "–", "$0.30 per million tokens read"),
        (Answerer("Moondream 3", "", PRICE), (), "no charge", "At Moondream Cloud: $0.30 per million"),
    ],
)
def test_what_is_not_known_is_not_reckoned(answerer, tokens, short, sentence):
    cost = cost_of(run(answerer, *tokens))
    assert cost.short == short
    assert sentence in cost.sentence
    assert cost.to_json()["elsewhere_usd"] is None


def test_of_an_old_run_nothing_is_said():
    record = run(None, (735, 61))
    assert cost_of(record) is None
    assert "metrics-cost" not in metrics_html.render(record)
    told = metrics_html.render(run(Answerer("<b>", "<i>", PRICE), (735, 61)))
    assert 'data-metric="cost"' in told
    assert "<i>" not in told


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        *((None, "–"), (0, "$0.00"), (0.000373, "$0.00037"), (0.0002, "$0.0002"), (0.3, "$0.30")),
        *((0.0999, "$0.10"), (2.5, "$2.50"), (1234.5, "$1234.50"), (3e-9, "$0.000000003")),
    ],
)
def test_amounts_can_be_read(usd, text):
    assert dollars(usd) == text


def test_a_remote_model_is_told_by_its_id():
    remote = wire.ModelInfo("cloud/big", (), "Big", owned_by="cloud", price=PRICE)
    assert answerer_of(remote) == Answerer("Big", "cloud", PRICE)
    assert answerer_of(wire.ModelInfo("sprite-2", (), "Sprite 2", owned_by="dreamscope")).endpoint == ""


@pytest.mark.parametrize("strange", ["x", {"name": 3}, {"name": "x" * 301}, {"price": {"name": "x"}}])
def test_foreign_facts_are_checked(strange):
    with pytest.raises(ValueError, match=r"answerer|names"):
        answerer_from_json(strange)
    known = Answerer("Big", "cloud", PRICE)
    assert answerer_from_json(wire.to_json(known)) == known
    with pytest.raises(ValueError, match="0 or more"):
        answerer_from_json({"price": {**wire.to_json(PRICE), "input_usd_per_million": -1}})
