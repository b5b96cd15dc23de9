"""Moondream 3: the shared forward passes with the parameters of its own checkpoints."""

from __future__ import annotations

from dreamscope.engine.models.base import Model


class Moondream3(Model):
    """Mixtures of experts, tau, linear region decoders; all of it in config and parameters."""

    family = "moondream3"
