"""The segment skill: the outline of an object as an SVG path inside its box.

The model writes the centre and the size of the box, then the path in text tokens. Nothing is masked. The
path streams while it is written; it is coarse, and stays so unless a refiner gives a better one afterwards.
"""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import CONTROL_IDS, Coord, PromptItem, Size, Text, Token
from dreamscope.engine.skills.base import (
    UNADDRESSED,
    Budget,
    FinishReason,
    Outcome,
    SkillRequest,
    Step,
    number_steps,
    reference_items,
)
from dreamscope.engine.skills.spread import box_spread
from dreamscope.engine.skills.svgpath import PathReader, box_of, points_of


class SegmentSkill:
    """State of one segment request."""

    def __init__(
        self, request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget
    ) -> None:
        self._eos = ids.eos_id
        self._numbers = number_steps(ids)
        self._free = Step("text", numbers=frozenset(self._numbers))
        self._number: Step | None = None  # the value that the last id announced
        self._tokenizer = tokenizer
        self._budget = budget
        self._max_feed = budget.total(phases=1)
        self._opening: list[PromptItem] = [
            *ids.segment_prefix,
            *reference_items(request.spatial_refs),
            *tokenizer.encode(request.object),
            *ids.segment_suffix,
        ]
        self._path = PathReader()
        self._unreported = 0
        self._announced = False  # whether the box was
        self._finish_reason: FinishReason | None = None
        self.token_ids: list[int] = []
        """Text ids in order, the end included."""
        self.path_tokens: list[str] = []
        """What they say, each decoded by itself, blanks and control ids left out."""
        self._refined: tuple[str, wire.Box] | None = None
        self._coords: list[Coord] = []
        self._sizes: list[Size] = []
        self.output_tokens = 0
        """Tokens decoded so far, the end not counted."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """`None` while the path goes on."""
        return self._finish_reason

    @property
    def max_feed(self) -> int:
        """One position per token."""
        return self._max_feed

    @property
    def reasoning_tokens(self) -> int:
        """Segmentation does not reason."""
        return 0

    @property
    def parse_error(self) -> str | None:
        """Why the tokens are not a path, if they are not."""
        return self._path.error

    @property
    def coords(self) -> list[float]:
        """Every coordinate, in order."""
        return [coord.value for coord in self._coords]

    @property
    def sizes(self) -> list[tuple[float, float]]:
        """Every width and height, in order."""
        return [(size.w, size.h) for size in self._sizes]

    @property
    def points(self) -> list[wire.Point]:
        """Every pair of coordinates; the first is the centre of the box."""
        return points_of(self.coords)

    def opening(self) -> list[PromptItem]:
        """Template, spatial references and object."""
        return list(self._opening)

    def step(self) -> Step:
        """The value of a number, or text."""
        return self._number or self._free

    def consume(self, token: Token) -> Outcome:
        """Apply a text token, or the value that the last one announced."""
        if isinstance(token, Coord):
            self._coords.append(token)
            return self._advance((), token)
        if isinstance(token, Size):
            self._sizes.append(token)
            return self._advance((), token)
        if token.id not in self._numbers:
            self.token_ids.append(token.id)
        if token.id == self._eos:
            return Outcome(self.close("stop"))
        self.output_tokens += 1
        self._unreported += 1
        self._number = self._numbers.get(token.id)
        if self._number is not None:
            return Outcome()
        return self._advance(self._read(token), token.id)

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End the path: the rest of it, then the whole as `MaskDone`."""
        if self._finish_reason is not None:
            return ()
        self._finish_reason = reason
        return (*self._emit(self._path.finish()), self._done())

    def refine(self, path: str, bbox: wire.Box) -> wire.MaskDone:
        """Replace the path and the box of a finished request; the event to tell instead of its last one."""
        self._refined = path, bbox
        return self._done()

    def result(self) -> wire.SegmentResult:
        """The coarse path so far, empty if it is none, and the box once it is known; or refined, both."""
        coarse = wire.SegmentResult(self._path.path, self._bbox(), parse_error=self._path.error)
        if self._refined is None:
            return coarse
        path, bbox = self._refined
        return replace(coarse, path=path, bbox=bbox, refined=True)

    def _done(self) -> wire.MaskDone:
        result = self.result()
        return wire.MaskDone(
            request_id=UNADDRESSED,
            path=result.path,
            bbox=result.bbox,
            coarse_path=self._path.path,
            coarse_bbox=self._bbox(),
        )

    def _bbox(self) -> wire.Box | None:
        box = box_of(self.coords, self.sizes)
        if box is None:
            return None
        x, y = self._coords[:2]
        return replace(box, spread=box_spread(x, y, self._sizes[0]))

    def _advance(self, events: tuple[wire.RequestEvent, ...], item: PromptItem) -> Outcome:
        self._number = None
        events = self._box() + events
        if self._budget.take():
            return Outcome(events + self.close("length"))
        return Outcome(events, (item,))

    def _box(self) -> tuple[wire.RequestEvent, ...]:
        """The box, as soon as it is known."""
        box = None if self._announced else self._bbox()
        if box is None:
            return ()
        self._announced = True
        plain = replace(box, spread=None)
        return (wire.MaskBox(request_id=UNADDRESSED, bbox=plain, spread=box.spread),)

    def _read(self, token: Text) -> tuple[wire.RequestEvent, ...]:
        if token.id < CONTROL_IDS:
            return ()
        said = self._tokenizer.decode([token.id]).strip()
        if not said:
            return ()
        self.path_tokens.append(said)
        return self._emit(self._path.push(said))

    def _emit(self, piece: str) -> tuple[wire.RequestEvent, ...]:
        if not piece:
            return ()
        count, self._unreported = self._unreported, 0
        return (wire.MaskDelta(request_id=UNADDRESSED, delta=piece, n=count),)
