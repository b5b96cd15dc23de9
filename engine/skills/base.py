"""What a skill is: a state machine between a prompt and a result, blind to devices and threads.

One instance serves one request. Whoever drives it prefills `opening()`, then repeats: ask `step()` what to
decide, decide it from the hidden state of the last position, hand the token to `consume()`, feed what the
outcome names. An outcome that feeds nothing means that the next decision reads the same position (a
coordinate is read where its marker was predicted).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokens import Coord, PromptItem, Size, Token

StepKind = Literal["text", "coord", "size"]
FinishReason = Literal["stop", "length"]
UNADDRESSED = ""
"""`request_id` of events as a skill makes them; the engine fills in the real one with `seq` and `t`."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. Temperature 0 is greedy; coordinates and sizes are always greedy."""

    temperature: float = 0.2
    top_p: float = 0.9
    max_tokens: int = 768
    max_objects: int = 150
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message: all its text in one piece, and how many images it brings (user messages only)."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: int = 0


@dataclass(frozen=True, slots=True)
class SkillRequest:
    """A validated request. Fields that the skill does not use keep their default."""

    skill: str
    sampling: Sampling = Sampling()
    question: str = ""
    object: str = ""
    length: str = "normal"
    reasoning: bool = False
    spatial_refs: tuple[tuple[float, ...], ...] = ()
    eye: tuple[float, float] | None = None
    face: tuple[float, float, float, float] | None = None
    """`x_min, y_min, x_max, y_max`, in place of an eye."""
    force_detect: bool = False
    """Whether gaze must name a target even where the model says there is none."""
    messages: tuple[ChatMessage, ...] = ()
    schema: str | None = None
    """JSON Schema, as text, that the answer of query or chat must follow."""
    uncertainty: bool = False
    """Whether events and result carry the spreads of numbers and the probabilities of text tokens."""

    @property
    def needs_mirror(self) -> bool:
        """Whether the request looks at the mirrored image too."""
        return self.face is not None


@dataclass(frozen=True, slots=True)
class Step:
    """The next decision: its kind, and for text the ids that may not (or alone may) be chosen.

    `mask` is `allowed` for large sets, as a bool for each of the first ids `[n]`; ids beyond are forbidden.
    After an id of `numbers` nothing is fed, and the number it stands for is read from the same position.
    `folded` may stand in for any id but the end, because all of them mean the same.
    """

    kind: StepKind
    suppressed: frozenset[int] = frozenset()
    allowed: frozenset[int] | None = None
    mask: NDArray[np.bool_] | None = field(default=None, compare=False)
    numbers: frozenset[int] = field(default=frozenset(), compare=False)
    folded: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """Forget everything after the image and feed `prompt` there; `mirrored`: after the mirrored image."""

    prompt: tuple[PromptItem, ...]
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one token caused: events for the client, and what the model is fed before the next decision."""

    events: tuple[wire.RequestEvent, ...] = ()
    feed: tuple[PromptItem, ...] = ()
    restart: Restart | None = None


def number_steps(ids: TokenizerConfig) -> dict[int, Step]:
    """The decision that follows each id that stands for a number."""
    return {ids.coord_id: Step("coord"), ids.size_id: Step("size")}


class Budget:
    """Counts the text tokens a request may still produce.

    A joint budget covers reasoning and answer together, which is what the product promises. The published
    code gives each phase the full number; its recorded outputs need that policy.
    """

    def __init__(self, max_tokens: int, *, per_phase: bool = False) -> None:
        if max_tokens < 1:
            raise ValueError(f"A budget needs at least one token, not {max_tokens}.")
        self._max_tokens = max_tokens
        self._per_phase = per_phase
        self._left = max_tokens

    @property
    def spent(self) -> bool:
        """Whether no further token may be produced."""
        return self._left == 0

    def total(self, phases: int) -> int:
        """The most tokens that `phases` phases can produce."""
        return self._max_tokens * (phases if self._per_phase else 1)

    def take(self) -> bool:
        """Account for one token; true if it was the last one."""
        self._left -= 1
        return self._left == 0

    def next_phase(self) -> None:
        """The reasoning is over and the answer begins."""
        if self._per_phase:
            self._left = self._max_tokens


class Skill(Protocol):
    """The state machine of one request."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while tokens are still wanted."""

    @property
    def max_feed(self) -> int:
        """The most positions that will be fed after the opening, or after any restart."""

    @property
    def output_tokens(self) -> int:
        """Tokens decoded so far, reasoning included, ends and separators not."""

    @property
    def reasoning_tokens(self) -> int:
        """Those of them that belong to the reasoning."""

    def opening(self) -> list[PromptItem]:
        """The prompt after the prefix: BOS, BOS and the image, or a conversation up to its last image."""

    def step(self) -> Step:
        """The next decision. Only while `finish_reason` is `None`."""

    def consume(self, token: Token) -> Outcome:
        """Apply a decided token."""

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End now, in whatever state; returns what was still held back. A finished skill gives nothing."""

    def result(self) -> wire.Result:
        """The result as far as it was decoded."""


def reference_items(refs: tuple[tuple[float, ...], ...]) -> list[PromptItem]:
    """Spatial references as prompt items: `x, y` for a point; centre and size for `(x1, y1, x2, y2)`."""
    items: list[PromptItem] = []
    for ref in refs:
        if len(ref) == 2:
            items += [Coord(ref[0]), Coord(ref[1])]
        else:
            x1, y1, x2, y2 = ref
            items += [Coord((x1 + x2) / 2), Coord((y1 + y2) / 2), Size(x2 - x1, y2 - y1)]
    return items
