"""Runs one golden set from the pixels to the results."""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine.devices.base import Device
from dreamscope.engine.verify.cases import check_case
from dreamscope.engine.verify.golden import GoldenSet, load_golden_model
from dreamscope.engine.verify.moondream3.run import check_moondream3
from dreamscope.engine.verify.report import Check
from dreamscope.engine.verify.tensors import Prefixes, check_image
from dreamscope.engine.verify.units import check_units


def check_golden(golden: GoldenSet, device: Device) -> Iterator[Check]:
    """Every quantity, in the order in which a request meets them. `device` must compute in float32."""
    if golden.data["model"] == "moondream3":
        yield from check_moondream3(golden, device)
        return
    model = load_golden_model(golden, device)
    prefixes: Prefixes = {}
    for name in golden.data["images"]:
        yield from check_image(golden, model, name, prefixes)
    yield from check_units(golden, model)
    for case in golden.data["cases"]:
        yield from check_case(golden, model, case, prefixes)
