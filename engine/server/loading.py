"""Model name and settings to a running engine. The one place of the server that builds the real thing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.registry import FAMILY_SKILLS, ModelSpec
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.engine import Engine
from dreamscope.engine.server.options import MIB
from dreamscope.engine.server.serving import Serving
from dreamscope.engine.settings import Values
from dreamscope.engine.weights.adapter import load_adapter
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.progress import Report


def load_serving(spec: ModelSpec, values: Values, report: Report) -> Serving:
    """Load and start; blocks for as long as that takes. Raises `DreamscopeError` saying what to do."""
    device = open_device(values["device"], values["dtype"], values["threads"] or spec.threads)
    model = load_model(spec, device, report)
    info = replace(spec.info(default=True, loaded=True), context_length=model.config.text.max_context)
    if spec.path is not None:  # only its tensors have told which family a local checkpoint is
        info = replace(info, skills=FAMILY_SKILLS[model.family])
    engine = Engine(
        model,
        info,
        max_queue=values["max_queue"],
        image_cache_bytes=values["image_cache_mb"] * MIB,
        adapters=AdapterRegistry(values["adapters"], partial(load_adapter, model=model)),
    )
    engine.start()
    return Serving(info, engine, f"{device.name} {device.dtype}")
