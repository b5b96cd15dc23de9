"""Small matrices in the order in which oneDNN reads them, beside the plain ones.

oneDNN brings a matrix into its own order before every product, unless it is given one that is so already;
for a few dozen rows that is a third of the time. A form of its own takes as much memory again, so only
matrices that are small have one.
"""

from __future__ import annotations

import torch
from torch.utils.weak import WeakTensorKeyDictionary

SMALL = 1 << 22
"""Bytes of the largest matrix that is kept twice."""
ROWS = 32
"""The order is chosen for about so many rows; it is the same from 4 to 256."""


class PackedMatrices:
    """The forms of the matrices that were asked for, as long as these live. Any thread."""

    def __init__(self) -> None:
        self._forms = WeakTensorKeyDictionary()

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """The form of a float32 matrix `[out, in]`; of a large one, the matrix itself."""
        if weight.untyped_storage().nbytes() > SMALL:  # of other sizes a trace would make inputs
            return weight
        form: torch.Tensor | None = self._forms.get(weight)
        if form is None:
            form = self._forms[weight] = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        return form

    def all(self) -> list[torch.Tensor]:
        """Every form there is."""
        return list(self._forms.values())
