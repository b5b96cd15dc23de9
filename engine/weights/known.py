"""The models that one process may load: the table of the registry, and the checkpoints of a folder.

    DIR/NAME/model.safetensors, config.json, tokenizer.json     the model NAME

A folder with the name of a model of the table is used in that model's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dreamscope.engine import wire
from dreamscope.engine.errors import DreamscopeError, ModelNotFound
from dreamscope.engine.models.families import FAMILIES, AnyConfig, recognise
from dreamscope.engine.models.registry import FAMILY_SKILLS, MODELS, ModelSpec, find_model
from dreamscope.engine.weights.hub import is_local, locate
from dreamscope.engine.weights.revision import revision_of
from dreamscope.engine.weights.safetensors_file import open_checkpoint


def known_models(folder: Path | None) -> tuple[ModelSpec, ...]:
    """The models of the table and those below `folder`, in this order and with distinct ids."""
    local = {spec.id: spec for spec in ([] if folder is None else checkpoints(folder))}
    specs = []
    for spec in MODELS.values():
        place = next((name for name in local if name.lower() == spec.id.lower()), None)
        specs.append(spec if place is None else _stand_in(local.pop(place), spec))
    return (*specs, *local.values())


def with_default(name: str, specs: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    """The same models with the one that `name` means in front; a path adds a model.

    Raises `ModelNotFound` listing the names.
    """
    chosen = find_spec(name, specs)
    if chosen is None:
        try:
            chosen = find_model(name)
        except ModelNotFound:
            listed = ", ".join(spec.id for spec in specs)
            raise ModelNotFound(
                f"No model {name!r:.80}. Known are {listed}; or give the path of a checkpoint folder.",
                "model",
            ) from None
        with suppress(DreamscopeError):  # loading it will say what is wrong
            chosen = described(chosen)
        named = find_spec(chosen.id, specs)
        chosen = chosen if named is None else _stand_in(chosen, named)
    return (chosen, *(spec for spec in specs if spec.id != chosen.id))


def find_spec(name: str, specs: Sequence[ModelSpec]) -> ModelSpec | None:
    """The model with this id or alias, in any case."""
    wanted = name.strip().lower()
    for spec in specs:
        if wanted in (other.lower() for other in (spec.id, *spec.aliases)):
            return spec
    return None


def checkpoints(folder: Path) -> list[ModelSpec]:
    """A model for every subfolder with weights, by name; `unavailable` says what is wrong with one."""
    found = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        spec = replace(find_model(str(place.resolve())), id=place.name, name=place.name)
        if is_local(spec):
            found.append(spec)
    return [_checked(spec) for spec in found]


def described(spec: ModelSpec) -> ModelSpec:
    """A local checkpoint with what its config and the names of its tensors tell. Raises `DreamscopeError`."""
    files = locate(spec)
    family = recognise(open_checkpoint(files.weights))
    config = family.config.from_dict(files.config)
    return replace(
        spec,
        family=family.name,
        skills=FAMILY_SKILLS[family.name],
        context_length=config.text.max_context,
    )


def announce(spec: ModelSpec) -> wire.ModelInfo:
    """Its entry of the model list before anything is loaded."""
    state = state_of(spec)
    size = spec.hub.size if spec.hub is not None and state == "download" else None
    return replace(
        spec.info(),
        state=state,
        reason=spec.unavailable,
        revision=revision_of(spec),
        download_bytes=size,
    )


def state_of(spec: ModelSpec) -> str:
    """`ready` (on this machine), `download` (needs the network), or `unavailable`."""
    if spec.unavailable is not None:
        return "unavailable"
    return "ready" if is_local(spec) else "download"


def config_of(spec: ModelSpec) -> AnyConfig:
    """Its config, as far as that is known without the weights. Raises `DreamscopeError`."""
    return FAMILIES[spec.family].config.from_dict({} if spec.hub is not None else locate(spec).config)


def _checked(spec: ModelSpec) -> ModelSpec:
    try:
        return described(spec)
    except DreamscopeError as error:
        return replace(spec, unavailable=error.message.rstrip("."))


def _stand_in(local: ModelSpec, named: ModelSpec) -> ModelSpec:
    """A local checkpoint under the names of a model of the table."""
    return replace(local, id=named.id, name=named.name, aliases=named.aliases)
