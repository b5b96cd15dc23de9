"""The shelf that the settings ask for: known models, local checkpoints, and how each of them is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from dreamscope.engine.models.registry import ModelSpec, require_available
from dreamscope.engine.remote.endpoints import configured_endpoints
from dreamscope.engine.server.endpoints import default_elsewhere, remote_models
from dreamscope.engine.server.serving import Known, Serving
from dreamscope.engine.server.shelf import Shelf
from dreamscope.engine.settings import Values
from dreamscope.engine.weights.known import announce, known_models, with_default
from dreamscope.engine.weights.progress import Progress, Report, console

if TYPE_CHECKING:
    from dreamscope.engine.server.loading import Loader


def build_shelf(values: Values) -> Shelf:
    """Every model that `values` allow, nothing loaded, `--model` in front.

    Nobody is contacted, unless `--model` is `NAME/MODEL` of an endpoint whose models are not known: that one
    is asked. Raises `ModelNotFound`, `NotImplementedYet` if the default is only a name, `SettingError` for a
    wrong endpoint, or why the asked one did not tell.
    """
    specs = known_models(values["models_dir"])
    endpoints = configured_endpoints(values["endpoint"], values["endpoint_key"], values["endpoints"])
    elsewhere, unasked = remote_models(endpoints, values["max_queue"])
    first = default_elsewhere(values["model"], endpoints, elsewhere, unasked)
    if first is None:
        specs = with_default(values["model"], specs)
        require_available(specs[0])
    loads = _Loads(values)
    known = [Known(announce(spec), partial(loads, spec), light=spec.packaged is not None) for spec in specs]
    if first is not None:
        elsewhere.remove(first)
        known.insert(0, first)
    adapters = None if values["adapters"] is None else partial(_adapters, values, specs)
    return Shelf([*known, *elsewhere], adapters, unasked)


class _Loads:
    """Loads a model, telling standard error how far it is. One call at a time."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._loader: Loader | None = None

    def __call__(self, spec: ModelSpec, report: Report) -> Serving:
        if self._loader is None:
            # Imported where needed: it takes seconds, and the server listens before that.
            from dreamscope.engine.server.loading import Loader

            self._loader = Loader(self._values)
        on_console = console(sys.stderr)

        def both(progress: Progress) -> None:
            on_console(progress)
            report(progress)

        return self._loader.load(spec, both)


def _adapters(values: Values, specs: tuple[ModelSpec, ...]) -> Mapping[str, tuple[str, ...]]:
    from dreamscope.engine.server.loading import fitting_adapters

    return fitting_adapters(values["adapters"], specs)
