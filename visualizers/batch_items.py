"""One image of a batch: what both columns said about it, and by how much they disagree.

Disagreement is a number from 0 to 1 with one plain definition per skill, worded in `batch_words`:

    point, detect   marks without a partner, as a share of all marks (a pair counts as one)
    query           0 for the same answer, letter case and the full stop apart; else the share of words that
                    are not common, at least 0.01 so that another answer never counts as the same
    caption         the share of words that are not common
    segment         1 - IoU of the outlines; 1 if only one side has an outline
    gaze            distance of the targets as a share of the diagonal; 1 if only one side has a target

It is `None` where a side has no whole answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.engine.wire import DetectResult, GazeResult, PointResult, SegmentResult, WireError
from dreamscope.visualizers.answerer import Answerer
from dreamscope.visualizers.comparison import Between, answer_of, between
from dreamscope.visualizers.cost import Cost, cost_of
from dreamscope.visualizers.matching import distances
from dreamscope.visualizers.places import places_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.timing import timing_of

SETTLED = ("done", "failed")
"""States of a run that will not be asked again."""
_OTHER_ANSWER = 0.01


@dataclass(frozen=True, slots=True)
class ItemSide:
    """One run of the pair. `answer` is its text, or `count` the number of its places; the other is `None`.
    `total_ms` is without `waited_ms`.
    """

    run: str
    model: str
    state: str
    answer: str | None
    count: int | None
    error: str
    total_ms: float | None
    tokens: int | None
    waited_ms: float | None = None
    answerer: Answerer | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image. Sides are `None` until they were asked; `trouble` says why they cannot be.

    `matched`, `only_left` and `only_right` count marks; `mask_iou`, `distance` (share of the diagonal) and
    `shared_words` are there where the skill has them.
    """

    name: str
    hash: str
    comparison: str | None = None
    trouble: str = ""
    left: ItemSide | None = None
    right: ItemSide | None = None
    matched: int | None = None
    only_left: int | None = None
    only_right: int | None = None
    mask_iou: float | None = None
    distance: float | None = None
    shared_words: float | None = None
    disagreement: float | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing more will come: both answered or failed, or the image cannot be asked about."""
        return bool(self.trouble) or all(side is not None and side.state in SETTLED for side in self.sides)

    @property
    def sides(self) -> tuple[ItemSide | None, ItemSide | None]:
        """Left and right."""
        return self.left, self.right

    @property
    def compared(self) -> bool:
        """Whether both sides gave a whole answer."""
        return self.disagreement is not None

    @property
    def failed(self) -> bool:
        """Whether it is settled without two answers."""
        return self.settled and not self.compared


def item_of(
    name: str,
    image_hash: str,
    pair: tuple[Record | None, Record | None] = (None, None),
    *,
    comparison: str | None = None,
    trouble: str = "",
) -> Item:
    """What two runs on one image come to; either may be missing still."""
    left, right = pair
    sides = [None if record is None else side_of(record) for record in pair]
    item = Item(
        name=name, hash=image_hash, comparison=comparison, trouble=trouble, left=sides[0], right=sides[1]
    )
    if left is None or right is None or any(side is None or side.state != "done" for side in sides):
        return item
    found = between((left, right), 0, 1)
    disagreement, distance = _disagreement(left, right, found)
    places = left.skill in ("point", "detect", "segment", "gaze")
    return Item(
        name=name,
        hash=image_hash,
        comparison=comparison,
        left=sides[0],
        right=sides[1],
        matched=len(found.matches) if places else None,
        only_left=len(found.only_left) if places else None,
        only_right=len(found.only_right) if places else None,
        mask_iou=found.mask_iou,
        distance=distance,
        shared_words=found.answers.shared if found.answers else None,
        disagreement=disagreement,
    )


def same_answer(text: str) -> str:
    """An answer as answers are compared: letter case, white space and marks at the end do not count."""
    return " ".join(text.casefold().split()).rstrip(" .!?")


def side_of(record: Record) -> ItemSide:
    """The facts of one run; one whose events do not fit its skill has failed."""
    measured = [part.metrics for part in record.parts if part.metrics is not None]
    timing = timing_of(measured)
    errors = [part.error.message for part in record.parts if part.error is not None]
    try:
        answer, count, state = answer_of(record), len(places_of(record)), record.state
    except WireError as error:
        answer, count, state, errors = None, 0, "failed", [str(error)]
    return ItemSide(
        record.id,
        record.model,
        state,
        answer,
        None if answer is not None else count,
        " ".join(errors),
        timing.total_ms,
        sum(metrics.output_tokens for metrics in measured) if measured else None,
        timing.waited_ms,
        record.answerer,
        cost_of(record),
    )


def _disagreement(left: Record, right: Record, found: Between) -> tuple[float, float | None]:
    """The number of the module's text, and the distance of two gaze targets if there are two."""
    if found.answers is not None:
        apart = 1 - found.answers.shared
        if left.skill == "query":
            said = [same_answer(answer_of(record) or "") for record in (left, right)]
            apart = 0.0 if said[0] == said[1] else max(apart, _OTHER_ANSWER)
        return apart, None
    results = {type(part.result) for record in (left, right) for part in record.parts}
    if results == {SegmentResult}:
        return (0.0 if found.mask_iou is None else 1 - found.mask_iou), None
    if results == {GazeResult}:
        return _gaze(left, right)
    assert results <= {PointResult, DetectResult}
    alone = len(found.only_left) + len(found.only_right)
    return (alone / (alone + len(found.matches)) if alone else 0.0), None


def _gaze(left: Record, right: Record) -> tuple[float, float | None]:
    first, second = ([(place.x, place.y) for place in places_of(record)] for record in (left, right))
    if not (first and second):
        return (1.0 if first or second else 0.0), None
    size = left.picture.size if left.picture else (1, 1)
    apart = float(distances(first, second, size)[0, 0])
    return apart, apart
