"""What the routes of the page are given: the engine, the history, and the pages that are open."""

from __future__ import annotations

from dataclasses import dataclass

from dreamscope.app.hub import Hub
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import Engine
from dreamscope.app.ui.examples import Example


@dataclass(frozen=True, slots=True)
class Context:
    """Made once per web application; routers are made of it by `router(context)` in `app/routes`."""

    engine: Engine
    store: Store
    hub: Hub
    examples: tuple[Example, ...] = ()
