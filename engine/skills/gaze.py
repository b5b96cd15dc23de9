"""The gaze skill: where in the image a person looks.

Given an eye, the model is asked once. Given a face, it is asked from ten random places in it, then from ten
more in the mirror image; what stands apart is dropped and the rest averaged. That is slower and steadier.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

import numpy as np

from dreamscope.engine import wire
from dreamscope.engine.models.bfloat16 import round_bfloat16
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, PromptItem, Text, Token
from dreamscope.engine.skills.base import (
    UNADDRESSED,
    Budget,
    FinishReason,
    Outcome,
    Restart,
    SkillRequest,
    Step,
    StepKind,
)
from dreamscope.engine.skills.objects import another_place
from dreamscope.engine.skills.outliers import remove_outlier_points
from dreamscope.engine.skills.spread import place_spread

DRAWS = 10
"""Places drawn in a face for each of the two views, and the fewest answers that make a result."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place from which the model is asked, in the coordinates of its view."""

    x: float
    y: float
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model answered from one source, in the coordinates of that source's view."""

    source: Source
    target: wire.Point | None


class GazeSkill:
    """State of one gaze request. Numbers are always greedy; the seed decides the places in a face."""

    def __init__(
        self, request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget
    ) -> None:
        self._ids = ids
        self._tokenizer = tokenizer
        self._forced = request.force_detect
        marker = frozenset({ids.coord_id})  # whatever would be chosen, a target follows if one is forced
        self._ask = Step("text", allowed=marker, numbers=marker) if self._forced else another_place(ids)
        self._averaged = request.face is not None
        self._sources = _sources(request)
        self._expect: StepKind = "text"
        self._x: Coord | None = None
        self._target: wire.Point | None = None
        self._finish_reason: FinishReason | None = None
        self._numbers = 0
        self.samples: list[Sample] = []
        """One for every source that was asked, in order."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while there are sources to ask."""
        return self._finish_reason

    @property
    def max_feed(self) -> int:
        """The x coordinate; every source starts over."""
        return 1

    @property
    def output_tokens(self) -> int:
        """Coordinates decoded so far, over all sources."""
        return self._numbers

    @property
    def reasoning_tokens(self) -> int:
        """Gaze does not reason."""
        return 0

    def opening(self) -> list[PromptItem]:
        """The prompt of the first source; those of the others have the same length."""
        return self._prompt(self._sources[0])

    def step(self) -> Step:
        """Whether there is a target, then its x, then its y."""
        return self._ask if self._expect == "text" else Step(self._expect)

    def consume(self, token: Token) -> Outcome:
        """Apply one decision; after the last one of a source the next source starts over."""
        if isinstance(token, Text):
            if token.id == self._ids.eos_id and not self._forced:
                return self._answered(None)
            self._expect = "coord"
            return Outcome()
        assert isinstance(token, Coord)
        self._numbers += 1
        if self._x is None:
            self._x = token
            return Outcome((), (token,))
        target = wire.Point(self._x.value, token.value, place_spread(self._x, token))
        self._x = None
        return self._answered(target)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End now; sources that were not asked leave a face without a result."""
        if self._finish_reason is None:
            self._finish_reason = reason
        return ()

    def result(self) -> wire.GazeResult:
        """The target, once all sources were asked."""
        return wire.GazeResult(self._target)

    def _answered(self, target: wire.Point | None) -> Outcome:
        self._expect = "text"
        self.samples.append(Sample(self._sources[len(self.samples)], target))
        if len(self.samples) < len(self._sources):
            following = self._sources[len(self.samples)]
            return Outcome(restart=Restart(tuple(self._prompt(following)), following.mirrored))
        self._finish_reason = "stop"
        self._target = average(self.samples) if self._averaged else target
        if self._target is None:
            return Outcome()
        found = self._target
        return Outcome((wire.GazeEvent(request_id=UNADDRESSED, x=found.x, y=found.y, spread=found.spread),))

    def _prompt(self, source: Source) -> list[PromptItem]:
        ids, encode = self._ids, self._tokenizer.encode
        if ids.rules.gaze_as_point:
            place = [Coord(source.x), Coord(source.y)]
            return [*ids.point_prefix, *place, *encode(" gaze"), *ids.point_suffix]
        # The published code rounds these to bfloat16 whatever the model computes in.
        x, y = (float(value) for value in round_bfloat16(np.array([source.x, source.y], np.float32)))
        return [*encode("\n\nPoint:"), Coord(x), Coord(y), *encode(" gaze\n\n")]


def average(samples: list[Sample]) -> wire.Point | None:
    """The mean target of the samples, in the coordinates of the image; `None` if too few have one.

    A mean of places is none that the decoder gave a probability, so it has no spread.
    """
    points = [
        (1 - sample.target.x if sample.source.mirrored else sample.target.x, sample.target.y)
        for sample in samples
        if sample.target is not None
    ]
    if len(points) < DRAWS:
        return None
    kept = remove_outlier_points(points)
    return wire.Point(sum(x for x, _ in kept) / len(kept), sum(y for _, y in kept) / len(kept))


def draw_places(request: SkillRequest) -> list[tuple[float, float]]:
    """Places in the face, as many for either view, from Python's own generator like the published code."""
    assert request.face is not None
    x_min, y_min, x_max, y_max = request.face
    seed = request.sampling.seed
    rng = random.Random(secrets.randbits(63) if seed is None else seed)
    return [(rng.uniform(x_min, x_max), rng.uniform(y_min, y_max)) for _ in range(2 * DRAWS)]


def _sources(request: SkillRequest) -> list[Source]:
    if request.face is None:
        assert request.eye is not None
        return [Source(*request.eye)]
    places = draw_places(request)
    plain, mirrored = places[:DRAWS], places[DRAWS:]
    return [*(Source(x, y) for x, y in plain), *(Source(1 - x, y, True) for x, y in mirrored)]
