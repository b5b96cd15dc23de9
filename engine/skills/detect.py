"""The detect skill: a box around each object that fits a description."""

from __future__ import annotations

from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.skills.base import UNADDRESSED, Budget, SkillRequest
from dreamscope.engine.skills.objects import ObjectLoop
from dreamscope.engine.skills.spread import box_spread, place_spread


class DetectSkill(ObjectLoop):
    """State of one detect request. The number of objects bounds it; the token budget does not."""

    _sized = True

    def __init__(
        self, request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget
    ) -> None:
        opening = [*ids.detect_prefix, *tokenizer.encode(" " + request.object), *ids.detect_suffix]
        super().__init__(request, ids, opening)
        self.decoded: list[wire.Box] = []
        """Boxes as the model said them; they may reach over the edge of the image."""

    def result(self) -> wire.DetectResult:
        """Boxes so far, in decode order, inside the image."""
        return wire.DetectResult(tuple(clamp(box) for box in self.decoded))

    def _located(self, index: int, x: Coord, y: Coord) -> tuple[wire.RequestEvent, ...]:
        spread = place_spread(x, y)
        return (wire.BoxCenter(request_id=UNADDRESSED, index=index, x=x.value, y=y.value, spread=spread),)

    def _found(self, index: int, x: Coord, y: Coord, last: Coord | Size) -> tuple[wire.RequestEvent, ...]:
        assert isinstance(last, Size)
        half_w, half_h = last.w / 2, last.h / 2
        box = wire.Box(
            x_min=x.value - half_w,
            y_min=y.value - half_h,
            x_max=x.value + half_w,
            y_max=y.value + half_h,
            spread=box_spread(x, y, last),
        )
        self.decoded.append(box)
        inside = clamp(box)
        return (
            wire.BoxEvent(
                request_id=UNADDRESSED,
                index=index,
                x_min=inside.x_min,
                y_min=inside.y_min,
                x_max=inside.x_max,
                y_max=inside.y_max,
                spread=inside.spread,
            ),
        )


def clamp(box: wire.Box) -> wire.Box:
    """The part of a box that lies inside the image. Its centre is inside, so an area remains."""
    return replace(
        box,
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=min(1.0, box.x_max),
        y_max=min(1.0, box.y_max),
    )
