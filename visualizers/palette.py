"""Ten mark colours that stay apart under every common colour blindness, each readable on any photograph.

A mark is drawn in its `fill` inside a thin `halo`. The halo is the light or the dark stroke, whichever
contrasts more with the fill, so that fill or halo stands out from whatever lies underneath. Numbers and
labels set on the fill use the same stroke colour as ink.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LIGHT = "#ffffff"
DARK = "#0b0e14"


@dataclass(frozen=True, slots=True)
class Colour:
    """One mark colour as `#rrggbb`; `light` and `dark` are the two strokes it may be outlined with."""

    fill: str
    light: str = LIGHT
    dark: str = DARK

    @property
    def halo(self) -> str:
        """The stroke with the larger contrast to the fill."""
        return max((self.light, self.dark), key=lambda stroke: contrast(self.fill, stroke))

    @property
    def ink(self) -> str:
        """Colour of text set on the fill."""
        return self.halo


# Found by maximising the smallest pairwise distance over normal, protan, deutan and tritan vision; the
# order puts the calmest, most distinct ones first.
PALETTE: tuple[Colour, ...] = tuple(
    Colour(fill)
    for fill in (
        "#1976d2",
        "#ffb02e",
        "#dc1761",
        "#60d3ac",
        "#812a93",
        "#c1abfd",
        "#c8851c",
        "#a0210c",
        "#91fdb1",
        "#361af0",
    )
)


def colour(index: int) -> Colour:
    """The colour of mark family `index`; the ten repeat."""
    return PALETTE[index % len(PALETTE)]


def family_of(name: str, taken: Iterable[int] = ()) -> int:
    """The mark family of an object by its name: the same on every run and machine, whatever its case.

    A family in `taken` is passed over for the next that is free, as long as one is.
    """
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    first = int.from_bytes(hashlib.sha256(plain.encode("utf-8", "replace")).digest()[:4], "big")
    used = {family % len(PALETTE) for family in taken}
    order = [(first + step) % len(PALETTE) for step in range(len(PALETTE))]
    return next((family for family in order if family not in used), order[0])


def families_of(names: Iterable[str]) -> tuple[int, ...]:
    """A family for each of the objects of one run, all different as far as there are colours; 0 without a
    name.
    """
    chosen: list[int] = []
    for name in names:
        chosen.append(family_of(name, chosen) if name.strip() else 0)
    return tuple(chosen)


def rgb(code: str) -> tuple[int, int, int]:
    """`#rrggbb` to 0..255 integers. Raises `ValueError` for any other form."""
    if len(code) != 7 or code[0] != "#":
        raise ValueError(f"A colour is written #rrggbb, not {code!r}.")
    value = int(code[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255


def luminance(code: str) -> float:
    """Relative luminance 0..1 of a colour, as WCAG 2 defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(code))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours, 1..21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
