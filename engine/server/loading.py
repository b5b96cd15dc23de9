"""Model name and settings to a running engine. The one place of the server that builds the real thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dreamscope.engine.devices.registry import cpu_threads, open_device
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.errors import DeviceUnavailable, DreamscopeError
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.limits import page_bytes
from dreamscope.engine.models.registry import FAMILY_SKILLS, ModelSpec
from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.runtime.adapters import AdapterRegistry
from dreamscope.engine.runtime.engine import Engine, EngineOptions
from dreamscope.engine.runtime.refiner import MaskRefiner
from dreamscope.engine.runtime.sim_model import SimModel
from dreamscope.engine.server.options import MIB
from dreamscope.engine.server.serving import Serving
from dreamscope.engine.settings import Values
from dreamscope.engine.weights.adapter import fits, load_adapter, read_facts
from dreamscope.engine.weights.hub import locate
from dreamscope.engine.weights.known import config_of
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.memory import image_cache_bytes
from dreamscope.engine.weights.progress import Progress, Report
from dreamscope.engine.weights.refiner import load_refiner
from dreamscope.engine.weights.revision import revision_of


class Loader:
    """Loads models with the same settings, one at a time, from any thread."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._all_threads = cpu_threads()  # before any model changes it

    def load(self, spec: ModelSpec, report: Report) -> Serving:
        """Load and start; blocks for as long as that takes. Raises `DreamscopeError` saying what to do."""
        values = self._values
        if values["device"] == "sim":
            return self._simulate(spec)
        device = open_device(values["device"], values["dtype"], self._threads(spec))
        model = load_model(spec, device, report)
        info = replace(
            spec.info(loaded=True), context_length=model.config.text.max_context, revision=revision_of(spec)
        )
        if spec.path is not None:  # only its tensors have told which family a local checkpoint is
            info = replace(info, skills=FAMILY_SKILLS[model.family])
        engine = Engine(
            model,
            info,
            partial(build_runner, model, ahead=True),
            options=self._options(model),
            adapters=AdapterRegistry(values["adapters"], partial(load_adapter, model=model)),
            refiner=None if spec.packaged else self._refiner(model, info.skills, report),
        )
        engine.start()
        return Serving(info, engine, f"{device.name} {device.dtype}", values["depth"])

    def _simulate(self, spec: ModelSpec) -> Serving:
        """The model's vocabulary on the simulated device, without its weights."""
        if spec.hub is not None:
            raise DeviceUnavailable(
                f"{spec.name} would have to be downloaded for its vocabulary; simulate sprite-2 or sprite-3.",
                "device",
            )
        model = SimModel(config_of(spec), Tokenizer.load(locate(spec).tokenizer))
        info = replace(spec.info(loaded=True), context_length=model.config.text.max_context)
        engine = Engine(model, info, model.build, options=self._chosen(None))
        engine.start()
        return Serving(info, engine, "simulated", self._values["depth"])

    def _options(self, model: Model) -> EngineOptions:
        """The part of the settings that the engine needs."""
        kept = image_cache_bytes(self._values["image_cache_mb"] * MIB, model)
        pages = model.config.text.max_context + kept // page_bytes(model.config, model.device.dtype)
        return self._chosen(pages)

    def _chosen(self, pages: int | None) -> EngineOptions:
        values, depth = self._values, self._values["depth"]
        return EngineOptions(
            depth="auto" if depth == "auto" else 1 if depth == "1" else 2,
            max_batch=values["max_batch"],
            max_queue=values["max_queue"],
            pages=pages,
            keep_prefixes=values["retention"],
        )

    def _refiner(self, model: Model, skills: Sequence[str], report: Report) -> MaskRefiner | None:
        """The mask refiner, if there is a file of it, of a model that outlines; Sprites have none."""
        path: Path | None = self._values["refiner"]
        if "segment" not in skills:
            return None
        if path is None:
            report(Progress("read", "No mask refiner: outlines stay as the model writes them"))
            return None
        report(Progress("read", f"Reading the mask refiner {path.name}"))
        return MaskRefiner(model, load_refiner(path.expanduser(), model))

    def _threads(self, spec: ModelSpec) -> int | None:
        chosen: int | None = self._values["threads"]
        if self._values["device"] == "mlx":  # which chooses by itself
            return chosen
        return chosen or spec.threads or self._all_threads


def fitting_adapters(folder: Path, specs: Sequence[ModelSpec]) -> Mapping[str, tuple[str, ...]]:
    """The ids of the adapters in `folder` that fit each model. Reads every file of the folder."""
    configs = {}
    for spec in specs:
        if spec.unavailable is None:
            try:
                configs[spec.id] = config_of(spec)
            except DreamscopeError:
                continue  # loading the model will say what is wrong with it
    found: dict[str, list[str]] = {model_id: [] for model_id in configs}
    registry = AdapterRegistry(folder)
    for entry in registry.list():
        try:
            facts = read_facts(registry.find(entry.key))
        except DreamscopeError:
            continue  # a request that names it is told what is wrong with it
        for model_id, config in configs.items():
            if fits(facts, config):
                found[model_id].append(entry.id)
    return {model_id: tuple(ids) for model_id, ids in found.items()}
