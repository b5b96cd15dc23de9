"""Moondream 2: the shared forward passes with the parameters of its own checkpoint."""

from __future__ import annotations

from dreamscope.engine.models.base import Model


class Moondream2(Model):
    """Dense blocks, plain attention, region decoders of two layers; all of it in config and parameters."""

    family = "moondream2"
