"""Two to four runs side by side: which marks speak of the same place, what only one of them says.

    compared = compare((first, second))        # `Record`s in column order
    compared.strip                             # html: "3 matched · 1 only in Sprite 2 · 0 only in Sprite 3"
    compared.to_json()                         # what the page gets, below

Columns are named by their index as text, "0" to "3"; `ground` is the `data-ground` of a mark on the page (of
part n > 0 with "n." before it). Every column is compared with the first; `pairs` holds all columns against
each other, so that a mark finds its partner in every other column. No side is ever said to be better.

    {
      "columns": [{"column": "0", "run": id, "name": "Sprite 2", "state": "done", "count": 3 | null,
                   "waited_ms", "ttft_ms", "total_ms", "tokens", "cached_tokens", "tokens_per_second",
                   "cost": {"endpoint", "charged_usd", "elsewhere_usd", "elsewhere"}}, ...]
                                               # null where not measured; times without waiting
      "strip":  html,                            # all lines of `between`, for between the columns
      "between": [{"left": "0", "right": "1", "matched": 3, "only_left": 1, "only_right": 0,   # or null
                   "mask_iou": 0.83 | null, "html": one line of the strip, "definition": sentence}, ...],
      "pairs":  [{"left": {"column": "0", "ground": "b0"}, "right": {"column": "1", "ground": "b2"},
                  "kind": "box", "iou": 0.91 | "distance": 0.012, "text": "IoU 0.91",
                  "same_words": true | null}, ...],
      "tints":  {"1": {"g0": ["#ffb02e", "#0b0e14"]}},   # fill and halo of spans that do not keep their own
      "only":   {"0": ["b1"], "1": []},          # "0": without a partner anywhere; others: none in column "0"
      "diff":      {"0": null, "1": html | null},    # of the answer, against column "0"; null: no text
      "reasoning": {"0": null, "1": html | null},    # the same of the reasoning
      "sides":  [html, ...]                      # the facts of each column
    }

    div.compare-strip > p.between[data-left][data-right][title] > span.between-name, b.matched, b.only-left,
                        b.only-right, b.mask-iou, separated by " · "; the title says how marks were matched
    p.diff            words with <ins> (only here) and <del> (only in the first column); p.diff.same if none
    dl.facts          div > dt, dd: what was measured; a missing figure is a dash, a price is never made up
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from dreamscope.engine.wire import Box, CaptionResult, ChatResult, Ground, QueryResult
from dreamscope.visualizers import compare_words
from dreamscope.visualizers.mask_overlap import overlap_of
from dreamscope.visualizers.matching import Matched, match_boxes, match_overlaps, match_points
from dreamscope.visualizers.places import Place, places_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.sides import Side, sides_of
from dreamscope.visualizers.strip import Line, strip_html
from dreamscope.visualizers.tints import Tints, tints_of
from dreamscope.visualizers.word_diff import WordDiff, diff, diff_html

COLUMNS = (2, 4)
"""Fewest and most runs that are compared."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two marks that speak of the same place; `value` is their IoU, or their distance as a share of the
    image's diagonal.
    """

    left: Place
    right: Place
    value: float

    @property
    def measure(self) -> str:
        """`iou` or `distance`."""
        return "iou" if self.left.kind in ("box", "mask") else "distance"

    @property
    def same_words(self) -> bool | None:
        """Whether two grounded spans say the same, letter case apart; `None` for other marks."""
        if self.left.kind != "span":
            return None
        return self.left.words.casefold() == self.right.words.casefold()


@dataclass(frozen=True, slots=True)
class Between:
    """Two columns compared. Indices of columns; `comparable` is false for runs on different images, and if
    one of them, in `silent`, ended before it said anything; `grounding` are the spans of the right reasoning.
    """

    left: int
    right: int
    comparable: bool
    named: bool
    silent: tuple[int, ...] = ()
    matches: tuple[Match, ...] = ()
    only_left: tuple[Place, ...] = ()
    only_right: tuple[Place, ...] = ()
    mask_iou: float | None = None
    answers: WordDiff | None = None
    reasonings: WordDiff | None = None
    grounding: tuple[Ground, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the marks on both sides, sorted."""
        matched = (match.left for match in self.matches)
        return tuple(sorted({place.kind for place in (*matched, *self.only_left, *self.only_right)}))

    @property
    def answer_html(self) -> str | None:
        """How the right answer differs from the left; `None` where there are no words."""
        return None if self.answers is None else diff_html(self.answers)

    @property
    def reasoning_html(self) -> str | None:
        """The same of the reasoning, with its grounded spans."""
        return None if self.reasonings is None else diff_html(self.reasonings, self.grounding)


@dataclass(frozen=True, slots=True)
class Compared:
    """Every column with the first (`betweens`), and all columns with each other (`pairs`)."""

    sides: tuple[Side, ...]
    betweens: tuple[Between, ...]
    pairs: tuple[Between, ...]

    @property
    def strip(self) -> str:
        """What stands between the columns, as HTML."""
        return strip_html([self._line(between) for between in self.betweens])

    def to_json(self) -> dict[str, Any]:
        """What the page gets, as the module's text says."""
        first, *others = [str(side.column) for side in self.sides]
        rows = dict(zip(others, self.betweens, strict=True))
        return {
            "columns": [side.to_json() for side in self.sides],
            "strip": self.strip,
            "between": [self._between_json(between) for between in self.betweens],
            "pairs": [_pair_json(pair, match) for pair in self.pairs for match in pair.matches],
            "tints": self._tints(),
            "only": {first: self._only_first(), **{name: _only_right(b) for name, b in rows.items()}},
            "diff": {first: None, **{name: b.answer_html for name, b in rows.items()}},
            "reasoning": {first: None, **{name: b.reasoning_html for name, b in rows.items()}},
            "sides": [side.html() for side in self.sides],
        }

    def _line(self, between: Between) -> Line:
        return Line(
            left=between.left,
            right=between.right,
            names=(self.sides[between.left].name, self.sides[between.right].name),
            silent=tuple(self.sides[index].name for index in between.silent),
            several=len(self.betweens) > 1,
            comparable=between.comparable,
            kinds=between.kinds,
            named=between.named,
            counts=(len(between.matches), len(between.only_left), len(between.only_right)),
            mask_iou=between.mask_iou,
            shared_words=between.answers.shared if between.answers else None,
        )

    def _between_json(self, between: Between) -> dict[str, Any]:
        line = self._line(between)
        counts: tuple[int | None, ...] = line.counts if between.comparable else (None, None, None)
        return {
            "left": str(between.left),
            "right": str(between.right),
            **dict(zip(("matched", "only_left", "only_right"), counts, strict=True)),
            "mask_iou": between.mask_iou,
            "shared_words": line.shared_words,
            "html": line.html(),
            "definition": line.definition,
        }

    def _tints(self) -> Tints:
        """Colours that spans take over from their partners, by column and ground."""
        pairs = [
            ((pair.left, match.left.ground), (pair.right, match.right.ground))
            for pair in self.pairs
            for match in pair.matches
            if match.left.kind == "span"
        ]
        return tints_of(pairs, [side.spans for side in self.sides])

    def _only_first(self) -> list[str]:
        """The first column's marks that have no partner in any other."""
        known = [between for between in self.betweens if between.comparable]
        paired = {match.left.ground for between in known for match in between.matches}
        lonely = _grounds([place for between in known for place in between.only_left])
        return [ground for ground in lonely if ground not in paired]


def compare(records: Sequence[Record]) -> Compared:
    """Compare runs in column order.

    Raises `ValueError` for fewer than two or more than four.
    """
    if not COLUMNS[0] <= len(records) <= COLUMNS[1]:
        raise ValueError(f"{COLUMNS[0]} to {COLUMNS[1]} runs can be compared, not {len(records)}.")
    pairs = {(i, j): between(records, i, j) for i, j in combinations(range(len(records)), 2)}
    betweens = tuple(pairs[0, j] for j in range(1, len(records)))
    return Compared(sides_of(records), betweens, tuple(pairs.values()))


def between(records: Sequence[Record], left: int, right: int) -> Between:
    """Compare two columns."""
    a, b = records[left], records[right]
    silent = tuple(index for index in (left, right) if _said_nothing(records[index]))
    if silent:
        return Between(left, right, comparable=False, named=False, silent=silent)
    answers, reasonings = (_diff(text(a), text(b)) for text in (answer_of, reasoning_of))
    same_image = a.picture is not None and b.picture is not None and a.picture.hash == b.picture.hash
    none = a.picture is None and b.picture is None
    said = Between(
        left,
        right,
        comparable=same_image or none,
        named=len(a.parts) > 1 and len(b.parts) > 1,
        answers=answers,
        reasonings=reasonings,
        grounding=_grounding(b),
    )
    if not same_image or a.picture is None:
        return said
    found, lonely_a, lonely_b = _match(places_of(a), places_of(b), a.picture.size, said.named)
    masks = [[(p.path, p.box) for p in places_of(r) if p.kind == "mask" and p.box] for r in (a, b)]
    return replace(said, matches=found, only_left=lonely_a, only_right=lonely_b, mask_iou=overlap_of(*masks))


def _said_nothing(record: Record) -> bool:
    """Whether a run ended before its end, with nothing that could be compared."""
    cut_off = record.state in ("failed", "stopped", "interrupted")
    return cut_off and not (places_of(record) or answer_of(record) or reasoning_of(record))


def answer_of(record: Record) -> str | None:
    """The words of the answer; `None` for skills that answer with places."""
    results = [part.result for part in record.parts]
    said = [r.caption if isinstance(r, CaptionResult) else r.answer for r in results if isinstance(r, _TEXTS)]
    return "\n".join(said) if said else None


def reasoning_of(record: Record) -> str | None:
    """The words of the reasoning, if there was any."""
    results = [part.result for part in record.parts]
    known = [r.reasoning.text for r in results if isinstance(r, QueryResult | ChatResult) and r.reasoning]
    return "\n".join(known) if known else None


def _grounding(record: Record) -> tuple[Ground, ...]:
    """The spans of the reasoning of a run, which has one part if it has any."""
    result = record.parts[0].result if record.parts else None
    known = result.reasoning if isinstance(result, QueryResult | ChatResult) else None
    return known.grounding if known else ()


_TEXTS = (QueryResult, ChatResult, CaptionResult)


def _match(
    left: Sequence[Place], right: Sequence[Place], size: tuple[int, int], named: bool
) -> tuple[tuple[Match, ...], tuple[Place, ...], tuple[Place, ...]]:
    """Pair places of one kind, and of one name if both runs ask for several; all else stays alone."""
    matches: list[Match] = []
    lonely: tuple[list[Place], list[Place]] = ([], [])
    groups = dict.fromkeys((place.kind, place.label if named else "") for place in (*left, *right))
    for kind, label in groups:
        a, b = (
            [p for p in places if p.kind == kind and (not named or p.label == label)]
            for places in (left, right)
        )
        matched = _assigned(kind, a, b, size)
        matches += [Match(a[pair.left], b[pair.right], pair.value) for pair in matched.pairs]
        lonely[0].extend(a[index] for index in matched.only_left)
        lonely[1].extend(b[index] for index in matched.only_right)
    # In the order of the runs again, which grouping has lost.
    order = {id(place): rank for rank, place in enumerate((*left, *right))}
    alone, alone_too = (tuple(sorted(side, key=lambda place: order[id(place)])) for side in lonely)
    return tuple(matches), alone, alone_too


def _assigned(kind: str, left: Sequence[Place], right: Sequence[Place], size: tuple[int, int]) -> Matched:
    if kind == "box":
        return match_boxes(list(_boxes(left)), list(_boxes(right)))
    if kind == "mask":
        masks = [[(place.path, box) for place, box in _boxed(side)] for side in (left, right)]
        overlaps = [[overlap_of([a], [b]) or 0.0 for b in masks[1]] for a in masks[0]]
        return match_overlaps(np.array(overlaps, dtype=np.float64).reshape(len(left), len(right)))
    a, b = ([(place.x, place.y) for place in side] for side in (left, right))
    return match_points(a, b, size)


def _boxed(places: Sequence[Place]) -> Iterator[tuple[Place, Box]]:
    return ((place, place.box) for place in places if place.box is not None)


def _boxes(places: Sequence[Place]) -> Iterator[Box]:
    return (box for _, box in _boxed(places))


def _diff(first: str | None, second: str | None) -> WordDiff | None:
    return None if first is None or second is None else diff(first, second)


def _grounds(places: Sequence[Place]) -> list[str]:
    """Ids of marks, each once."""
    return list(dict.fromkeys(place.ground for place in places))


def _only_right(between: Between) -> list[str]:
    """Marks of the right column without a partner; a span counts as paired if one of its points is."""
    paired = {match.right.ground for match in between.matches}
    return [ground for ground in _grounds(between.only_right) if ground not in paired]


def _pair_json(pair: Between, match: Match) -> dict[str, Any]:
    text = compare_words.iou if match.measure == "iou" else compare_words.apart
    return {
        "left": {"column": str(pair.left), "ground": match.left.ground},
        "right": {"column": str(pair.right), "ground": match.right.ground},
        "kind": match.left.kind,
        match.measure: match.value,
        "text": text(match.value),
        "same_words": match.same_words,
    }
