"""Which of several guesses at one place stand apart from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAREST = 2
THRESHOLD = 2.0


def remove_outlier_points(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points whose neighbourhood is not more than `THRESHOLD` times as wide as the median one.

    Width is the mean distance to the `NEAREST` nearest points. A point counts as its own nearest, as in the
    published code, so this is half the distance to the nearest other one.
    """
    if len(points) < 2:
        return list(points)
    places = np.array(points, np.float64)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.sort(distances, axis=1)[:, : min(NEAREST, len(points) - 1)]
    widths = nearest.mean(axis=1)
    limit = THRESHOLD * np.median(widths)
    return [point for point, width in zip(points, widths, strict=True) if width <= limit]
