"""What people know to be in the image of a run, so that the run's places can be held against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamscope.engine.wire import Box
from dreamscope.visualizers.escape import clean

MOST_PLACES = 1000
LONGEST_LABEL = 300


class TruthError(ValueError):
    """What cannot be held against a run; a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Known:
    """A thing that is there: `at` is its point (x, y) or its box (x_min, y_min, x_max, y_max), fractions of
    the image; `label` its name, maybe empty.
    """

    at: tuple[float, ...]
    label: str = ""

    @property
    def box(self) -> Box | None:
        """The box, if it is one."""
        return Box(*self.at) if len(self.at) == 4 else None

    @property
    def middle(self) -> tuple[float, float]:
        """The point, or the middle of the box."""
        return (self.at[0] + self.at[-2]) / 2, (self.at[1] + self.at[-1]) / 2


def truth_of(given: Any) -> tuple[Known, ...]:
    """Things that are there from JSON, a list of {"at": [x, y] or [x_min, y_min, x_max, y_max], "label"?}.

    Raises `TruthError`.
    """
    if not isinstance(given, list) or len(given) > MOST_PLACES:
        raise TruthError(f"truth must be a list of at most {MOST_PLACES} places.")
    return tuple(_known(each) for each in given)


def _known(given: Any) -> Known:
    if not isinstance(given, Mapping) or set(given) - {"at", "label"}:
        raise TruthError("A place of truth is an object with at and label.")
    label = given.get("label", "")
    if not isinstance(label, str) or len(label) > LONGEST_LABEL:
        raise TruthError(f"The label of a place must be a string of up to {LONGEST_LABEL} characters.")
    return Known(_at(given.get("at")), " ".join(clean(label).split()))


def _at(given: Any) -> tuple[float, ...]:
    numbers = given if isinstance(given, list) and len(given) in (2, 4) else [math.nan]
    inside = all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n <= 1 for n in numbers)
    if not inside or (len(numbers) == 4 and (numbers[0] >= numbers[2] or numbers[1] >= numbers[3])):
        raise TruthError(
            "A place of truth is [x, y] or [x_min, y_min, x_max, y_max] with numbers from 0 to 1, "
            "x_min below x_max and y_min below y_max."
        )
    return tuple(float(n) for n in numbers)
