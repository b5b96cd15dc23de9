"""Refining what the segment skill has outlined. Optional: whatever fails here leaves the outline as it is."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine import wire
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.refiner import EARLY_BLOCK, RefinerWeights, refine_mask
from dreamscope.engine.skills.outline_mask import Mask, resize_linear, resize_nearest
from dreamscope.engine.skills.outline_refine import refine_outline
from dreamscope.engine.skills.segment import SegmentSkill

logger = logging.getLogger(__name__)


class Refiner(Protocol):
    """Improves outlines."""

    def refine(self, rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> tuple[str, wire.Box] | None:
        """A path inside `bbox` to a better one and its own box, of an image `[H, W, 3]`; `None` if it cannot.

        Called on a thread of its own, one at a time. May raise: then, too, the outline stays as it is.
        """


class MaskRefiner:
    """The published way: the model's own vision encoder looks at the object, and the head at its mask."""

    def __init__(self, model: Model, weights: RefinerWeights, early_block: int = EARLY_BLOCK) -> None:
        self._model = model
        self._weights = weights
        self._early_block = early_block

    def refine(self, rgb: NDArray[np.uint8], path: str, bbox: wire.Box) -> tuple[str, wire.Box] | None:
        """Through the mask of the box and its surroundings."""
        return refine_outline(rgb, path, bbox, self._improve)

    def _improve(self, pixels: NDArray[np.uint8], mask: Mask) -> Mask:
        height, width = mask.shape
        size = self._model.config.vision.crop_size
        crop = np.rint(resize_linear(pixels, size, size)).astype(np.uint8)
        final, early = self._model.final_and_early_features(crop[None], self._early_block)
        coarse = resize_nearest(mask, size, size)
        better = refine_mask(self._model.device, self._weights, final[0], early[0], coarse)
        return resize_linear(better, height, width) > 0.5


def refine_result(refiner: Refiner, skill: SegmentSkill, rgb: NDArray[np.uint8]) -> wire.MaskDone | None:
    """Refine the outline of a finished request about the image `[H, W, 3]`; the event that tells it.

    `None`, and nothing has changed, if there is no outline or it cannot be refined. The log says why.
    """
    coarse = skill.result()
    if not coarse.path or coarse.bbox is None:
        return None
    try:
        refined = refiner.refine(rgb, coarse.path, coarse.bbox)
    except Exception:
        logger.warning("Refining an outline failed; it stays as the model wrote it", exc_info=True)
        return None
    if refined is None:
        logger.warning("The refiner found no outline; it stays as the model wrote it")
        return None
    return skill.refine(*refined)
