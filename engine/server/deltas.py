"""Putting two deltas of a text together: what a slow reader gets instead of many small ones."""

from __future__ import annotations

import dataclasses

from dreamscope.engine import wire

Delta = wire.ReasoningDelta | wire.TextDelta | wire.MaskDelta


def join(first: wire.Message, second: wire.Message) -> Delta | None:
    """One delta that says both, if they are neighbours of the same kind.

    It has the last `seq`, the first as `first_seq`, the sum of `n`, and the probabilities of all tokens.
    """
    if not isinstance(first, wire.MERGEABLE) or type(first) is not type(second):
        return None
    assert isinstance(second, wire.MERGEABLE)
    first_seq = first.seq if first.first_seq is None else first.first_seq
    joined = dataclasses.replace(
        second, delta=first.delta + second.delta, n=first.n + second.n, first_seq=first_seq
    )
    if isinstance(joined, wire.MaskDelta):
        return joined
    return dataclasses.replace(joined, probs=(*probs_of(first), *probs_of(second)) or None)


def probs_of(delta: Delta) -> wire.Probs:
    """Those of its tokens, if there are any."""
    return () if isinstance(delta, wire.MaskDelta) else delta.probs or ()
