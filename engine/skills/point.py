"""The point skill: a place for each object that fits a description."""

from __future__ import annotations

from dreamscope.engine import wire
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.skills.base import UNADDRESSED, Budget, SkillRequest, reference_items
from dreamscope.engine.skills.objects import ObjectLoop


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

    def _located(self, index: int, x: float, y: float) -> tuple[wire.RequestEvent, ...]:
        return ()

    def _found(self, index: int, x: float, y: float, last: Coord | Size) -> tuple[wire.RequestEvent, ...]:
        self._points.append(wire.Point(x, y))
        return (wire.PointEvent(request_id=UNADDRESSED, index=index, x=x, y=y),)
