"""Models elsewhere, as the shelf wants them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dreamscope.engine.errors import ModelNotFound
from dreamscope.engine.remote.discovery import check, discover, known_models
from dreamscope.engine.remote.endpoints import Endpoint
from dreamscope.engine.remote.engine import RemoteEngine
from dreamscope.engine.remote.models import RemoteModel
from dreamscope.engine.server.serving import Known, Serving
from dreamscope.engine.server.unasked import Find
from dreamscope.engine.weights.progress import Progress, Report


def remote_models(endpoints: Sequence[Endpoint], max_queue: int) -> tuple[list[Known], dict[str, Find]]:
    """The models that need not be asked for, and how to find those of the other endpoints, by name."""
    known: list[Known] = []
    finds: dict[str, Find] = {}
    for endpoint in endpoints:
        models = known_models(endpoint)
        if models is None:
            finds[endpoint.name] = partial(_find, endpoint, max_queue)
        else:
            known += [_known(model, max_queue) for model in models]
    return known, finds


def default_elsewhere(
    name: str, endpoints: Sequence[Endpoint], known: list[Known], finds: dict[str, Find]
) -> Known | None:
    """The entry of `known` that `NAME/MODEL` means; `None` if no endpoint is called NAME.

    An endpoint of `finds` is asked, which blocks, and its models move to `known`. Raises `ModelNotFound`, or
    why it did not tell.
    """
    wanted = name.strip().lower()
    begin, slash, _ = wanted.partition("/")
    endpoint = next((each.name for each in endpoints if slash and each.name.lower() == begin), None)
    if endpoint is None:
        return None
    if endpoint in finds:
        known += finds[endpoint]()
        del finds[endpoint]
    found = next((each for each in known if each.info.id.lower() == wanted), None)
    if found is None:
        there = ", ".join(each.info.id for each in known if each.info.owned_by == endpoint)
        raise ModelNotFound(f"No model {name!r:.80}; {endpoint} has {there}.", "model")
    return found


def _find(endpoint: Endpoint, max_queue: int) -> list[Known]:
    return [_known(model, max_queue) for model in discover(endpoint)]


def _known(model: RemoteModel, max_queue: int) -> Known:
    return Known(model.info, partial(_open, model, max_queue), light=True, elsewhere=True)


def _open(model: RemoteModel, max_queue: int, report: Report) -> Serving:
    """Ask whether the endpoint is there; blocks. Raises `DreamscopeError`."""
    endpoint = model.endpoint
    report(Progress("read", f"Asking {endpoint.name}"))
    check(model, lambda text: report(Progress("read", text)))
    engine = RemoteEngine(model, endpoint.key.read(endpoint.name), max_queue=max_queue)
    engine.start()
    return Serving(model.info, engine, endpoint.name)
