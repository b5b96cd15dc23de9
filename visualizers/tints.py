"""One colour for what two columns share: grounded spans take over the colour of their partner further left.

A span has the colour of its number in its own column. In a comparison the same dog would be blue here and
orange there; so a span with a partner takes that one's colour, and one without gives way to those that do.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.visualizers.palette import PALETTE, colour

End = tuple[int, str]
"""A column and the ground of a span in it, such as `g2`."""
Tints = dict[str, dict[str, list[str]]]
"""Fill and halo by column and ground."""


def tints_of(pairs: Sequence[tuple[End, End]], spans: Sequence[Sequence[str]]) -> Tints:
    """The colours of all spans that do not keep their own.

    `pairs` are partners, the one further left first; `spans` the grounds of each column in order.
    """
    partner: dict[End, End] = {}
    for left, right in pairs:
        partner[right] = min(left, partner.get(right, left))
    families: dict[End, int] = {}
    for column, grounds in enumerate(spans):
        ends = [(column, ground) for ground in grounds]
        given = {end: families[partner[end]] for end in ends if end in partner}
        families |= given
        taken = {family % len(PALETTE) for family in given.values()}
        for end in ends:
            if end not in given:
                families[end] = _free(_own(end), taken)
                taken.add(families[end] % len(PALETTE))
    tints: Tints = {}
    for end, family in families.items():
        if family % len(PALETTE) != _own(end) % len(PALETTE):
            tint = colour(family)
            tints.setdefault(str(end[0]), {})[end[1]] = [tint.fill, tint.halo]
    return tints


def _own(end: End) -> int:
    return int(end[1].rpartition("g")[2])


def _free(own: int, taken: set[int]) -> int:
    """Its own family, or the next that is free as long as one is."""
    order = [(own + step) % len(PALETTE) for step in range(len(PALETTE))]
    return next((family for family in order if family not in taken), own)
