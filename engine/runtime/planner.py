"""Which of the waiting requests are prefilled together. Pure functions over what is known of each.

Two classes never share a batch: a prompt whose image is not cached needs a forward that sees both ways in
its image block (I26), all others are causal. Left to themselves, image misses seed the cache first when there
is much room, and cheap requests go first when there is little. Three rules keep that fair:

- ageing: who waited for long, or was passed over often, goes first, and decides the class;
- a claim: while the oldest such request does not fit, nobody younger takes pages;
- the decode share, which is the scheduler's: after `prefill_burst` prefills one decode step is launched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
PREFILL_TOKENS = 2048
"""Of a step, unless somebody asks for fewer."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`prefill_burst` `None`: prompts first, whoever is decoding waits (best throughput)."""

    max_wait_ms: float = 250.0
    max_passes: int = 4
    prefill_tokens: int = PREFILL_TOKENS
    """A batch of prompts is full when it computes this many positions."""
    seeding_rows: int = 32
    """With so much room, images that nobody has read yet come before all else."""
    prefill_burst: int | None = 1
    keep_prefixes: bool = True
    """Whether what was read stays, for whoever asks about it again."""


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """A waiting request as it stands now."""

    item: T
    waited_ms: float
    passed: int
    tokens: int
    """Positions to compute."""
    pages: int
    """Pages that it takes."""
    hit: bool
    block: bool
    """Whether it computes an image."""
    cohort: Hashable
    """Adapter and image: after one of these, the others are hits."""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What a batch of prompts may take."""

    rows: int
    pages: int


def plan_prefill(waiting: Sequence[Candidate[T]], room: Room, policy: Policy) -> list[Candidate[T]]:
    """The next batch of prompts, in order; empty if nothing can start. `waiting` is in order of arrival."""
    if room.rows <= 0:
        return []
    waiting = before_the_claim(waiting, room, policy)
    fitting = [one for one in waiting if one.pages <= room.pages]
    aged = [one for one in fitting if is_aged(one, policy)]
    misses = [one for one in fitting if one.block]
    others = [one for one in fitting if not one.block]
    seeding = bool(misses) and (not others or room.rows >= policy.seeding_rows)
    images = aged[0].block if aged else seeding
    ordered = _one_per_cohort(misses, policy) if images else _cheap_first(others, policy)
    return _fill(ordered, room, policy)


def is_aged(one: Candidate[T], policy: Policy) -> bool:
    """Whether it has waited enough to go first."""
    return one.waited_ms > policy.max_wait_ms or one.passed >= policy.max_passes


def before_the_claim(waiting: Sequence[Candidate[T]], room: Room, policy: Policy) -> Sequence[Candidate[T]]:
    """Those who are not younger than the oldest request that waited for too long and does not fit."""
    for place, one in enumerate(waiting):
        if is_aged(one, policy) and one.pages > room.pages:
            return waiting[:place]
    return waiting


def _one_per_cohort(misses: Sequence[Candidate[T]], policy: Policy) -> list[Candidate[T]]:
    """Aged ones first, then from the largest cohort; the others of a cohort become hits by this prefill."""
    sizes = Counter(one.cohort for one in misses)
    places = {id(one): place for place, one in enumerate(misses)}

    def rank(one: Candidate[T]) -> tuple[bool, int, int]:
        aged = is_aged(one, policy)
        return (not aged, 0 if aged else -sizes[one.cohort], places[id(one)])

    first: dict[Hashable, Candidate[T]] = {}
    for one in sorted(misses, key=rank):
        first.setdefault(one.cohort, one)
    return list(first.values())


def _cheap_first(others: Sequence[Candidate[T]], policy: Policy) -> list[Candidate[T]]:
    """Aged ones first by arrival; then hits before misses, the shortest first."""
    aged = [one for one in others if is_aged(one, policy)]
    fresh = [one for one in others if not is_aged(one, policy)]
    return aged + sorted(fresh, key=lambda one: (not one.hit, one.tokens))


def _fill(ordered: Sequence[Candidate[T]], room: Room, policy: Policy) -> list[Candidate[T]]:
    """Take what fits, in order; a request that goes alone goes first or waits for the next batch."""
    batch: list[Candidate[T]] = []
    tokens, pages = 0, room.pages
    for one in ordered:
        if len(batch) == room.rows or tokens >= policy.prefill_tokens:
            break
        if one.pages > pages or (one.alone and batch):
            continue
        batch.append(one)
        tokens += one.tokens
        pages -= one.pages
        if one.alone:
            break
    return batch
