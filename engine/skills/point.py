"""The point skill: a place for each object that fits a description."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.skills.base import UNADDRESSED, Budget, SkillRequest, reference_items
from dreamscope.engine.skills.objects import ObjectLoop
from dreamscope.engine.skills.spread import place_spread


class PointSkill(ObjectLoop):
    """State of one point request. The number of objects bounds it; the token budget does not."""

    def __init__(
        self, request: SkillRequest, ids: TokenizerConfig, tokenizer: Tokenizer, budget: Budget
    ) -> None:
        super().__init__(
            request,
            ids,
            [
                *ids.point_prefix,
                *reference_items(request.spatial_refs),
                *tokenizer.encode(" " + request.object),
                *ids.point_suffix,
            ],
        )
        self._points: list[wire.Point] = []

    def result(self) -> wire.PointResult:
        """Points so far, in decode order."""
        return wire.PointResult(tuple(self._points), len(self._points))

    def _located(self, index: int, x: Coord, y: Coord) -> tuple[wire.RequestEvent, ...]:
        return ()

    def _found(self, index: int, x: Coord, y: Coord, last: Coord | Size) -> tuple[wire.RequestEvent, ...]:
        point = wire.Point(x.value, y.value, place_spread(x, y))
        self._points.append(point)
        event = wire.PointEvent(
            request_id=UNADDRESSED, index=index, x=point.x, y=point.y, spread=point.spread
        )
        return (event,)
