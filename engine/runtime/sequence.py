"""A request on its way: what it asks, what it holds on the device, and when things happened to it.

    waiting --bind--> seated (prefill, then decode) --stop, length, cancel, deadline, error--> finished
       ^                 |
       '---- restart ----'   a skill may begin again with another prompt

A `Sequence` is the request; a `Seat` is its row in the batch, with pages and adapter slot. They part early:
the request is finished at the commit that ends it, while its seat, now vacated, is released when no step in
flight holds it any more. A vacated seat in a step is a zombie: its token belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.runner import Element, ImageKey, Rule
from dreamscope.engine.runtime.pages import Lease, namespace_of
from dreamscope.engine.runtime.prefix import Namespace

StepKind = Literal["prefill", "decode"]
FinishReason = Literal["stop", "length", "cancelled", "deadline", "error"]


class Odds(NamedTuple):
    """How the model divided its bets: probability of the id, logits `[bins]`, `[2, bins]` of the numbers,
    which mean something if the id announced them.
    """

    p: float
    coord: NDArray[np.float32] | None
    size: NDArray[np.float32] | None


class Picked(NamedTuple):
    """A decision as it comes from the device: the id, and bins that mean something if it announced them."""

    id: int
    coord: int
    size: tuple[int, int]
    logprob: float | None = None
    odds: Odds | None = None


class Verdict(NamedTuple):
    """What a decision meant: the element that the next forward embeds for it, and what follows.

    `finish` ends the request; `restart` is a new prompt that it goes on with, from the start of a cache.
    """

    element: Element
    events: tuple[Any, ...] = ()
    finish: Literal["stop", "length"] | None = None
    restart: tuple[Element, ...] | None = None


class Driver(Protocol):
    """The skill of one request, as the scheduler sees it. What it raises fails this request only."""

    def rule(self) -> Rule:
        """What the next decision may be. Asked once for each, after all before it were consumed."""

    def consume(self, picked: Picked) -> Verdict:
        """Apply a decision."""

    def close(self, reason: FinishReason) -> tuple[Any, ...]:
        """The request ends from outside; the events that were held back."""


class ImageTicket(Protocol):
    """An image that may have to be prepared for the device, once it is known to be needed."""

    def request(self) -> None:
        """Begin, if nobody has. Returns at once."""

    @property
    def ready(self) -> bool:
        """Whether `payload` returns at once."""

    def payload(self) -> Any:
        """What the runner takes. Raises what went wrong."""


@dataclass(slots=True)
class Times:
    """Moments in seconds of the scheduler's clock; `None` until reached.

    Queue and prefill add up to the time to the first token; that and decode add up to the total.
    """

    submitted: float = 0.0
    started: float | None = None
    tokens: list[float] = field(default_factory=list)
    ended: float | None = None

    def milliseconds(self) -> dict[str, float]:
        """Queue, prefill, time to first token, decode, total. Without a token all work is prefill."""
        ended = self.submitted if self.ended is None else self.ended
        started = ended if self.started is None else self.started
        first = self.tokens[0] if self.tokens else ended
        spans = {
            "queue": started - self.submitted,
            "prefill": first - started,
            "ttft": first - self.submitted,
            "decode": ended - first,
            "total": ended - self.submitted,
        }
        return {name: span * 1000 for name, span in spans.items()}

    def gaps(self) -> list[float]:
        """Milliseconds between neighbouring tokens, ascending."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return sorted((later - earlier) * 1000 for earlier, later in pairs)


@dataclass(slots=True, eq=False)
class Sequence:
    """One request. After `submit` only the scheduler changes it."""

    id: str
    prompt: tuple[Element, ...]
    driver: Driver
    max_new: int
    """Decisions at most; 0 only fills the cache."""
    images: Mapping[str, ImageTicket] = field(default_factory=dict)
    """Those of its prompts by digest."""
    adapter: Hashable | None = None
    """Identity of its contents, under which its pages are shared."""
    adapter_weights: Any = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    detail: bool = False
    """Whether its decisions come with `Odds`."""
    deadline: float | None = None

    seat: Seat | None = None
    output_tokens: int = 0
    """Decisions committed, over all restarts."""
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None
    error: BaseException | None = None
    cancel_reason: str | None = None
    passed: int = 0
    """How often others were prefilled while it could have been."""
    waiting_since: float = 0.0
    zombie_steps: int = 0
    decode_steps: int = 0
    shared_steps: int = 0
    """Sum of the batch sizes of its decode steps."""
    times: Times = field(default_factory=Times)

    @property
    def finished(self) -> bool:
        """Whether it has its reason; nothing of it is delivered after that (I9)."""
        return self.finish_reason is not None

    @property
    def namespace(self) -> Namespace:
        """Whom it may share pages with."""
        return namespace_of(self.adapter, self.prompt)

    def count_token(self, now: float, shared: int) -> None:
        """A decision was committed, of a decode step of so many rows (0: of a prefill)."""
        self.output_tokens += 1
        self.times.tokens.append(now)
        self.decode_steps += shared > 0
        self.shared_steps += shared

    def tickets(self, skip: int) -> list[ImageTicket]:
        """The images that a prefill computes which begins behind `skip` elements."""
        keys = (element for element in self.prompt[skip:] if isinstance(element, ImageKey))
        return [self.images[key.digest] for key in keys]

    def expired(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline


class Update(NamedTuple):
    """Events of a request; with `ended` they are its last, and `finish_reason` and `error` are set."""

    sequence: Sequence
    events: tuple[Any, ...]
    ended: bool


@dataclass(slots=True, eq=False)
class Seat:
    """A row of the device, bound to a sequence until it is released."""

    sequence: Sequence
    row: int
    adapter: int
    lease: Lease
    prompt: Items[Element]
    prompt_length: int
    budget: int
    """Tokens at most."""
    length: int
    """Positions that the device was told to fill; it runs ahead of the tokens that the host has seen."""
    images: list[Any] = field(default_factory=list)
    """Payloads that its prefill takes; kept until that is launched (I27)."""
    generated: list[Element] = field(default_factory=list)
    """What was committed, and is embedded behind the prompt."""
    refs: int = 0
    """Steps in flight that hold it (I3)."""
    vacated: bool = False
    spoiled: bool = False
    """Whether a step of it failed, so that its keys and values are not to be trusted."""
    released: bool = False

    @property
    def dispatchable(self) -> bool:
        """Whether it may ride in the next decode step.

        Every step in flight yields one token, so a request that ends by its length never rides too far. Its
        pending token is ready: nothing is launched while a step waits for its sampling.
        """
        return not self.vacated and self.refs < 2 and len(self.generated) + self.refs < self.budget

    @property
    def next_index(self) -> int:
        """The number of the decision that the next launch leads to, over all restarts."""
        return self.sequence.output_tokens + self.refs

    def launched(self, kind: StepKind, now: float) -> None:
        """A forward over it was queued."""
        sequence = self.sequence
        self.refs += 1
        if kind == "decode":
            self.length += 1
        elif sequence.times.started is None:
            sequence.times.started = now
            sequence.cached_tokens = self.lease.owned
        self.images = []


@dataclass(slots=True, eq=False)
class Step:
    """One pass of the device over some seats. Moments in seconds."""

    index: int
    kind: StepKind
    slot: int
    seats: tuple[Seat, ...]
    event: Any = None
    depth: int = 2
    zombies: int = 0
    launched_at: float = 0.0
    launch_s: float = 0.0
    sampled_at: float = 0.0
    mask_s: float = 0.0
    ready_at: float = 0.0
    committed_at: float = 0.0
    commit_s: float = 0.0
