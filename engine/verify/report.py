"""What was compared and how it came out: one line per quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["ok", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """One quantity. `error` is the largest absolute difference, `None` where values must be identical."""

    name: str
    status: Status
    error: float | None = None
    detail: str = ""

    def line(self) -> str:
        """For people: name, error, verdict, and for a failure the reason."""
        error = "identical" if self.error is None else f"{self.error:.2e}"
        shown = "-" if self.error is None and self.status == "FAIL" else error
        return f"{self.name:<42} {shown:>10}  {self.status}{f'  {self.detail}' if self.detail else ''}"


def close(name: str, actual: NDArray[Any], expected: NDArray[Any], tolerance: float) -> Check:
    """Every element within `tolerance`; equal infinities count as equal, NaN never passes."""
    if actual.shape != expected.shape:
        return Check(name, "FAIL", None, f"shape {actual.shape}, expected {expected.shape}")
    same = actual == expected  # covers infinities
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(actual.astype(np.float64) - expected.astype(np.float64)))
    error = float(difference.max(initial=0.0))
    if error <= tolerance:
        return Check(name, "ok", error)
    return Check(name, "FAIL", error, f"allowed {tolerance:.0e}")


def identical(name: str, actual: Any, expected: Any) -> Check:
    """Equal values; arrays compare elementwise."""
    if isinstance(expected, np.ndarray):
        equal = bool(np.array_equal(actual, expected))
    else:
        equal = bool(actual == expected)
    if equal:
        return Check(name, "ok")
    return Check(name, "FAIL", None, f"got {_short(actual)}, expected {_short(expected)}")


def alike(name: str, actual: Any, expected: Any, tolerance: float) -> Check:
    """Equal structures whose floats may differ by `tolerance`; everything else must be equal."""
    if _same(actual, expected, tolerance):
        return Check(name, "ok")
    return Check(name, "FAIL", None, f"got {_short(actual)}, expected {_short(expected)}")


def _same(actual: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, dict):
        keys = isinstance(actual, dict) and actual.keys() == expected.keys()
        return keys and all(_same(actual[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, list):
        sizes = isinstance(actual, list) and len(actual) == len(expected)
        return sizes and all(_same(a, e, tolerance) for a, e in zip(actual, expected, strict=True))
    if isinstance(expected, float) and isinstance(actual, (int, float)):
        return abs(actual - expected) <= tolerance
    return bool(actual == expected)


def _short(value: Any) -> str:
    text = f"array {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
