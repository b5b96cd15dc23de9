"""What a run cost, or what the same tokens would have cost elsewhere, by the price that was kept with it.

A model on this machine charges nothing; where a hosted one has a published price, that is told beside it. An
amount is tokens times price and no bill: endpoints may round, or count other tokens than they report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dreamscope.engine.wire import Metrics, Price
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.words import MISSING

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """`usd` is what `endpoint` charges, or with none, what the place that `price` names would have charged;
    `None` where the price or the tokens are not known.
    """

    endpoint: str
    price: Price | None
    usd: float | None

    @property
    def short(self) -> str:
        """A few words: `$0.00037`, `no charge`."""
        if self.endpoint:
            return dollars(self.usd)
        return "no charge"

    @property
    def elsewhere(self) -> str:
        """`$0.00037 at Moondream Cloud` for a run on this machine; empty if that is not known."""
        if self.endpoint or self.price is None or self.usd is None:
            return ""
        return f"{dollars(self.usd)} at {self.price.name}"

    @property
    def sentence(self) -> str:
        """What is charged, by whom, and how it is reckoned."""
        if self.endpoint:
            if self.price is None:
                return f"Charged by {self.endpoint}, whose price is not known here."
            amount = "" if self.usd is None else f", {dollars(self.usd)} for these tokens"
            return f"Charged by {self.endpoint}{amount}. {_rates(self.price)} Its own bill counts."
        if self.price is None:
            return "On this machine: no charge."
        if self.usd is None:
            return f"On this machine: no charge. At {self.price.name}: {_rates(self.price)}"
        would = f"{self.price.name} would charge {dollars(self.usd)} for these tokens"
        return f"On this machine: no charge; {would}. {_rates(self.price)}"

    def to_json(self) -> dict[str, Any]:
        """`charged_usd` is 0 on this machine; `elsewhere_usd` what `elsewhere` would have charged."""
        here = not self.endpoint
        return {
            "endpoint": self.endpoint or None,
            "charged_usd": 0.0 if here else self.usd,
            "elsewhere_usd": self.usd if here else None,
            "elsewhere": self.price.name if here and self.price else None,
        }


def cost_of(record: Record) -> Cost | None:
    """The cost of all parts that were measured; `None` if nothing is known of what answered.

    Every request reads something, so one that has read nothing comes from an endpoint that does not count.
    """
    known = record.answerer
    if known is None:
        return None
    measured = [part.metrics for part in record.parts if part.metrics and part.metrics.input_tokens]
    usd = sum(amount(metrics, known.price) for metrics in measured) if measured and known.price else None
    return Cost(known.endpoint, known.price, usd)


def amount(metrics: Metrics, price: Price) -> float:
    """US dollars for the tokens that one request read and wrote."""
    read = metrics.input_tokens * price.input_usd_per_million
    written = metrics.output_tokens * price.output_usd_per_million
    return (read + written) / _MILLION


def dollars(usd: float | None) -> str:
    """An amount to two figures, and never in more detail than cents from a dollar on; a dash for none."""
    if usd is None:
        return MISSING
    if usd >= 1 or usd == 0:
        return f"${usd:.2f}"
    plain = f"{float(f'{usd:.1e}'):.12f}".rstrip("0")
    return f"${plain}" if len(plain.partition(".")[2]) > 1 else f"${usd:.2f}"


def _rates(price: Price) -> str:
    """`$0.30 per million tokens read and $2.50 per million written.`"""
    read, written = dollars(price.input_usd_per_million), dollars(price.output_usd_per_million)
    return f"{read} per million tokens read, {written} per million written."
