"""Runs one golden set of Moondream 3 from the pixels to the results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dreamscope.engine.devices.base import Device
from dreamscope.engine.models.base import Model
from dreamscope.engine.verify.golden import GoldenSet
from dreamscope.engine.verify.moondream3.cases import check_case
from dreamscope.engine.verify.moondream3.chats import check_chat
from dreamscope.engine.verify.moondream3.images import (
    TOLERANCE,
    check_image,
    check_tilings,
    image_prefix,
)
from dreamscope.engine.verify.moondream3.paths import CASES, check_paths
from dreamscope.engine.verify.moondream3.prefill import check_prefill, check_region, check_tables
from dreamscope.engine.verify.report import Check, close
from dreamscope.engine.weights.adapter import load_adapter
from dreamscope.engine.weights.hub import ModelFiles
from dreamscope.engine.weights.load import load_files

QUANTISED = ("fp8", "int4")


def check_moondream3(golden: GoldenSet, device: Device) -> Iterator[Check]:
    """Every quantity of a set; the path cases too if they lie beside it."""
    model = _load(golden, device, "weights.safetensors")
    for index in range(len(golden.data["images"])):
        yield from check_image(golden, model, index)
    yield check_tilings(golden)
    yield from check_tables(golden, model)
    yield from check_region(golden, model)
    yield from check_prefill(golden, model)
    for form in QUANTISED:
        if form in golden.data:
            yield from _quantised(golden, device, form)
    yield from _adapted(golden, model)
    prefixes = [image_prefix(golden, model, index) for index in range(len(golden.data["images"]))]
    for name, case in golden.data["cases"].items():
        if case["skill"] == "chat":
            yield from check_chat(golden, model, name, case)
        else:
            prefix = None if case["image"] is None else prefixes[case["image"]]
            yield from check_case(golden, model, name, case, prefix)
    if (golden.folder.parent / CASES).is_file():
        yield from check_paths(golden.folder.parent)


def _adapted(golden: GoldenSet, model: Model) -> Iterator[Check]:
    """The same prompt with the adapter of the set, image and all."""
    adapter = load_adapter(golden.folder / golden.data["lora"]["file"], model)
    facts = golden.data["prefill"]
    cache = image_prefix(golden, model, facts["image"], adapter)
    embeds = model.embed([token["id"] for token in facts["prompt_tokens"][1:]])
    hidden = model.forward(embeds, cache, adapter)
    stored = {"hidden_last": model.device.numpy(hidden), "logits_last": model.logits(hidden)}
    for name, values in stored.items():
        yield close(f"lora.{name}", values, golden.tensor(f"lora/{name}"), TOLERANCE)


def _load(golden: GoldenSet, device: Device, weights: str) -> Model:
    folder = golden.folder
    config = {"config": golden.data["config"]}
    return load_files(ModelFiles(folder / weights, folder / "tokenizer.json", config), device)


def _quantised(golden: GoldenSet, device: Device, form: str) -> Iterator[Check]:
    """The same prompt with the parameters of a quantised file."""
    model = _load(golden, device, golden.data[form]["file"])
    facts = golden.data["prefill"]
    rows = model.encode_image(model.crop(golden.rgb(1)))
    expected = golden.tensor(f"{form}/projected_image1")
    yield close(f"{form}.projected_image1", device.numpy(rows), expected, TOLERANCE)
    cache = image_prefix(golden, model, facts["image"])
    hidden = model.forward(model.embed([token["id"] for token in facts["prompt_tokens"][1:]]), cache)
    logits = np.asarray(model.logits(hidden))
    yield close(f"{form}.logits_last", logits, golden.tensor(f"{form}/logits_last"), TOLERANCE)
