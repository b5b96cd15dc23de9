"""A checkpoint becomes a model on a device. Strict: every tensor must be there and have its shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dreamscope.engine.devices.base import Array, Device
from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.families import AnyConfig, Family, recognise
from dreamscope.engine.models.registry import ModelSpec, find_model
from dreamscope.engine.models.tokenizer import MOONDREAM_MARKERS, Tokenizer
from dreamscope.engine.weights.forms import FLOATS, Form, Found, Source, forms_of
from dreamscope.engine.weights.hub import ModelFiles, locate
from dreamscope.engine.weights.memory import check_memory, fit_context, memory_need
from dreamscope.engine.weights.progress import Progress, Report, silent
from dreamscope.engine.weights.safetensors_file import StoredTensor, open_checkpoint


def load_model(source: ModelSpec | str | Path, device: Device, progress: Report | None = None) -> Model:
    """Find, check and load a model: a spec, a known name, or the path of a checkpoint.

    Before reading it reports how much memory the model takes. Raises `ModelNotFound`, `WeightsNotFound`,
    `WeightsInvalid` or `NotEnoughMemory`, each with a sentence that says what to do.
    """
    spec = source if isinstance(source, ModelSpec) else find_model(str(source))
    report = progress or silent
    return load_files(locate(spec, report), device, report)


def load_files(files: ModelFiles, device: Device, report: Report = silent) -> Model:
    """Load from known files, without looking anything up. The tensors' names say which family it is."""
    family, config, tokenizer, found = _surveyed(files)
    need = memory_need(config, device.dtype, sum(source.nbytes_on(device) for source in found.values()))
    whole = need.context
    config, need = fit_context(config, need, device)
    report(Progress("memory", f"The model needs {need} in {device.dtype} on {device.name}"))
    check_memory(need, device)
    if need.context < whole:
        short = f"Memory holds a context of {need.context:,} tokens; the model could take {whole:,}"
        report(Progress("memory", short))
    total = sum(source.nbytes for source in found.values())
    done = 0

    def read(name: str) -> Array:
        nonlocal done
        array = found[name].load(device)
        device.synchronize(array)  # what it was made of can go, and any thread may use it
        found[name].release()
        done += found[name].nbytes
        report(Progress("read", f"Reading {files.weights.name}", done, total))
        return array

    return family.model(config, device, family.build_weights(config, read), tokenizer)


def check_files(files: ModelFiles) -> None:
    """Raises `WeightsInvalid` as loading would for a checkpoint that is not whole; reads no tensor."""
    _surveyed(files)


def _surveyed(files: ModelFiles) -> tuple[Family, AnyConfig, Tokenizer, dict[str, Source]]:
    """Which family it is, its config and tokenizer, and where its parameters are."""
    stored = open_checkpoint(files.weights)
    family = recognise(stored)
    names = {place.name for place in map(family.canonical_name, stored) if place is not None}
    config = family.fit(family.config.from_dict(files.config), names)
    # The published prompts need the published vocabulary.
    real = config.tokenizer == family.config().tokenizer
    tokenizer = Tokenizer.load(files.tokenizer, MOONDREAM_MARKERS if real else None)
    return family, config, tokenizer, arrange(stored, family, config, files.weights)


def arrange(
    stored: Mapping[str, StoredTensor], family: Family, config: AnyConfig, source: Path
) -> dict[str, Source]:
    """Where the checkpoint holds every parameter that the model needs, in whatever layout and form.

    Raises `WeightsInvalid` naming the key that is missing, that occurs twice, or whose shape or dtype is
    wrong. Keys that are no parameters of the model are ignored.
    """
    expected = family.expected_shapes(config)
    forms = {name: forms_of(name, shape, family.is_quantisable(name)) for name, shape in expected.items()}
    parts = {part for choice in forms.values() for form in choice for part in form.parts}
    found = _find(stored, family, parts, source)
    sources: dict[str, Source] = {}
    missing: list[str] = []
    for name, choice in forms.items():
        form = _choose(name, choice, found, source)
        lacking = [part for part in form.parts if part not in found]
        missing += lacking
        if not lacking:
            sources[name] = form.build([_checked(found[p], p, form, source) for p in form.parts])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsInvalid(f"{source} lacks {missing[0]}{more}.")
    return sources


def _find(
    stored: Mapping[str, StoredTensor], family: Family, parts: set[str], source: Path
) -> dict[str, Found]:
    """The tensors of a checkpoint by canonical name."""
    found: dict[str, Found] = {}
    for key, tensor in stored.items():
        place = family.canonical_name(key)
        if place is None or place.name not in parts:
            continue
        if place.name in found:
            raise WeightsInvalid(
                f"{source} holds {place.name} twice: {found[place.name].tensor.name} and {key}."
            )
        found[place.name] = Found(tensor, place.transposed)
    return found


def _choose(name: str, forms: list[Form], found: Mapping[str, Found], source: Path) -> Form:
    """The form that the checkpoint uses: the one of whose own parts it has any, else the plain one."""
    plain, *others = forms
    used = [form for form in others if any(part in found for part in form.parts if part != name)]
    alone = [form for form in used if name not in form.parts]
    if len(used) > 1 or (alone and name in found):
        parts = [part for form in used for part in form.parts if part in found and part != name]
        raise WeightsInvalid(f"{source} holds {name} twice: dense, and quantised as {parts[0]}.")
    return used[0] if used else plain


def _checked(found: Found, name: str, form: Form, source: Path) -> Found:
    part = form.parts[name]
    if found.shape != part.shape:
        raise WeightsInvalid(
            f"{source}: {found.tensor.name} has the shape {list(found.tensor.shape)}, "
            f"but the config asks for {list(part.shape)} as {name}."
        )
    if found.tensor.stored not in part.dtypes:
        wanted = "float" if part.dtypes == FLOATS else " or ".join(part.dtypes)
        raise WeightsInvalid(
            f"{source}: {found.tensor.name} has the dtype {found.tensor.stored}; {wanted} is needed."
        )
    return found
