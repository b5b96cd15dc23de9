"""`/model` of `dreamscope chat`: which models there are, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence

from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError
from dreamscope.visualizers.escape import clean


def chosen(name: str, models: Sequence[wire.ModelInfo]) -> str:
    """What requests for the model of this name say. Raises `SettingError` for one that cannot be asked.

    A name with a slash that is not listed may be of an adapter, or of an endpoint that the engine has not
    asked for its models yet: the engine judges it.
    """
    wanted = name.casefold()
    found = next((m for m in models if wanted in map(str.casefold, (m.id, *m.aliases))), None)
    if found is not None and found.state == "unavailable":
        raise SettingError(f"/model: {found.id} cannot be run: {found.reason}")
    if found is not None:
        return found.id
    if "/" in name:
        return name
    able = ", ".join(m.id for m in models if m.state != "unavailable")
    raise SettingError(f"/model: there is no {name[:80]!r}; there is {able}.")


def listing(models: Sequence[wire.ModelInfo], current: str | None) -> str:
    """The models, a line each; `current`, or without one the default, has an asterisk."""
    ids = [model.id for model in models]
    at = current or next((model.id for model in models if model.default), "")
    names = [*ids, *([] if at in ids or not at else [at])]
    facts = {model.id: _facts(model) for model in models}
    width = max(map(len, names), default=0)
    return "".join(
        clean(f"{'*' if name == at else ' '} {name.ljust(width)}  {facts.get(name, '')}").rstrip() + "\n"
        for name in names
    )


def _facts(model: wire.ModelInfo) -> str:
    """Its skills, and why it cannot answer, or not at once."""
    if model.state in ("unavailable", "failed"):
        return model.reason or model.state
    state = {"download": " (to be downloaded)", "loading": " (being loaded)"}.get(model.state, "")
    return " ".join(model.skills) + state
