"""Low-rank adapters of the text decoder: what they hold, and how one of them acts on a sequence.

    output of a linear  +=  (x @ A^T) @ B^T        A [rank, in], B [out, rank], no further scale

Both matrices are kept transposed, so that adapters of one rank stack along a leading axis and a batch whose
rows use different ones is two batched products. A mixture has a pair of them for each expert, which acts
before the experts' outputs are weighted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.models.text import Adapt, Site


@dataclass(frozen=True, slots=True)
class LowRank:
    """The addend of one linear: `down` `[in, rank]` is A transposed, `up` `[rank, out]` is B transposed."""

    down: Array
    up: Array


@dataclass(frozen=True, slots=True)
class ExpertLowRank:
    """The addends of one linear of a mixture: A `[E, rank, in]` and B `[E, out, rank]`."""

    a: Array
    b: Array


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """One adapter on the device. `digest` identifies its contents, `nbytes` is its size there."""

    digest: str
    blocks: Sequence[Mapping[Site, LowRank | ExpertLowRank]]
    nbytes: int


def adapt_all(device: Device, adapter: Adapter) -> Adapt:
    """Every row of the batch uses `adapter`."""

    def adapt(layer: int, site: Site, output: Array, x: Array, ids: Array | None = None) -> Array:
        pair = adapter.blocks[layer].get(site)
        if pair is None:
            return output
        if isinstance(pair, ExpertLowRank):
            assert ids is not None
            return output + device.expert_linear(device.expert_linear(x, pair.a, ids), pair.b, ids)
        return output + device.matmul(device.matmul(x, pair.down), pair.up)

    return adapt
