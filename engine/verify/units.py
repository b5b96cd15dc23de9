"""Compares single functions: tables, rotary embedding, region model, sampling, detokenisation, grounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dreamscope.engine import wire
from dreamscope.engine.devices.base import Rotation
from dreamscope.engine.devices.composed import rotate
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.crops import tiling_of
from dreamscope.engine.models.moondream2.weights import canonical_name
from dreamscope.engine.models.rope import build_rope
from dreamscope.engine.models.tokens import Coord, Text, size_values
from dreamscope.engine.models.vision import normalisation_table
from dreamscope.engine.runtime.sampling import distribution
from dreamscope.engine.skills.answer import AnswerLoop
from dreamscope.engine.skills.base import Budget
from dreamscope.engine.skills.outliers import remove_outlier_points
from dreamscope.engine.skills.reasoning import ReasoningLoop
from dreamscope.engine.verify.golden import DECODER_TOLERANCE, ENCODER_TOLERANCE, GoldenSet
from dreamscope.engine.verify.report import Check, close, identical
from dreamscope.engine.weights.quantize import Int4Tensor
from dreamscope.engine.weights.safetensors_file import open_safetensors

SAMPLING_TOLERANCE = 1e-6


def check_units(golden: GoldenSet, model: Model) -> Iterator[Check]:
    """Every unit quantity of the set."""
    yield from _tables(golden, model)
    yield _rope(golden, model)
    yield from _region(golden, model)
    yield from _top_p(golden)
    yield from _stream(golden, model)
    yield from _grounding(golden, model)
    yield _outliers(golden)
    yield _int4(golden)


def _outliers(golden: GoldenSet) -> Check:
    units = golden.data["units"]["remove_outlier_points"]
    kept = [wire.to_json(remove_outlier_points([(x, y) for x, y in unit["points"]])) for unit in units]
    return identical("unit.remove_outlier_points", kept, [unit["kept"] for unit in units])


def _int4(golden: GoldenSet) -> Check:
    stored = open_safetensors(golden.folder / golden.data["files"]["tensors"])
    packed, scale, zero_point, dense = (
        stored[f"unit.int4.{part}"] for part in ("packed", "scale", "zero_point", "weight_bf16")
    )
    bits, _ = Int4Tensor(packed, scale, zero_point, dense.shape).dense()
    return identical("unit.int4", bits, dense.read())


def _tables(golden: GoldenSet, model: Model) -> Iterator[Check]:
    units, vision = golden.data["units"], model.config.vision
    yield identical("unit.norm_lut", normalisation_table(), golden.tensor("unit.norm_lut"))
    tilings = [[h, w, *tiling_of(h, w, vision)] for h, w, _, _ in units["tiling"]]
    yield identical("unit.tiling", tilings, units["tiling"])
    yield identical(
        "unit.size_values", size_values(golden.tensor("unit.size_bins")), golden.tensor("unit.size_values")
    )
    legacy = units["legacy_name_map"]
    if legacy is not None:
        places = {key: canonical_name(key) for key in legacy}
        actual = {key: (place.name, place.transposed) for key, place in places.items() if place is not None}
        expected = {
            key: (entry["name"].removeprefix("model."), entry["transposed"]) for key, entry in legacy.items()
        }
        yield identical("unit.legacy_name_map", actual, expected)


def _rope(golden: GoldenSet, model: Model) -> Check:
    device, config = model.device, model.config.text
    positions = golden.tensor("unit.rope.positions")
    cos, sin, first, second = build_rope(device, config.head_dim, config.rotary_dim, config.max_context)
    index = device.array(positions)
    x = device.permute(device.array(golden.tensor("unit.rope.x")[None]), (0, 2, 1, 3))  # [1, T, H, E]
    rows = Rotation(device.take(cos, index, 0), device.take(sin, index, 0), first, second)
    turned = rotate(device, x, rows)
    actual = device.numpy(device.permute(turned, (0, 2, 1, 3)))[0]
    return close("unit.rope.y", actual, golden.tensor("unit.rope.y"), ENCODER_TOLERANCE)


def _region(golden: GoldenSet, model: Model) -> Iterator[Check]:
    device = model.device
    hidden = device.array(golden.tensor("unit.region.hidden"))
    actual: dict[str, Any] = {
        "unit.coord.embed": device.numpy(model.encode_coords(golden.tensor("unit.coord.values"))),
        "unit.size.embed": device.numpy(model.encode_sizes(golden.tensor("unit.size.values"))),
        "unit.region.coord_logits": model.coord_logits(hidden),
        "unit.region.size_logits": model.size_logits(hidden),
    }
    for name, values in actual.items():
        yield close(name, values, golden.tensor(name), DECODER_TOLERANCE)


def _top_p(golden: GoldenSet) -> Iterator[Check]:
    logits, probabilities = golden.tensor("unit.top_p.logits"), golden.tensor("unit.top_p.probs")
    rows = golden.data["units"]["top_p"]
    actual = np.stack([distribution(logits[r["row"]], r["temperature"], r["top_p"]) for r in rows])
    expected = probabilities[[r["row"] for r in rows]]
    yield identical("unit.top_p.kept", actual > 0, expected > 0)
    yield close("unit.top_p.probs", actual, expected, SAMPLING_TOLERANCE)


def _stream(golden: GoldenSet, model: Model) -> Iterator[Check]:
    for index, unit in enumerate(golden.data["units"]["stream"]):
        ids = unit["token_ids"]
        loop = AnswerLoop(model.config.tokenizer, model.tokenizer, Budget(len(ids) + 1))
        events = [event for token in ids for event in loop.consume(Text(token)).events]
        events += loop.close("stop")
        chunks = [event.delta for event in events if isinstance(event, wire.TextDelta)]
        yield identical(f"unit.stream.{index}.chunks", chunks, unit["chunks"])
        yield identical(f"unit.stream.{index}.decoded", model.tokenizer.decode(ids), unit["decoded"])


def _grounding(golden: GoldenSet, model: Model) -> Iterator[Check]:
    ids = model.config.tokenizer
    for index, unit in enumerate(golden.data["units"]["grounding"]):
        loop = ReasoningLoop(ids, model.tokenizer, Budget(len(unit["token_ids"]) + 1))
        bins = iter(unit["coord_bins"])
        fed = 0
        for token in unit["token_ids"]:
            fed += len(loop.consume(Text(token)).feed)
            if token == ids.coord_id:
                fed += len(loop.consume(Coord.from_bin(next(bins))).feed)
        loop.close()
        expected = {"text": unit["text"], "grounding": unit["grounding"]}
        yield identical(f"unit.grounding.{index}", wire.to_json(loop.reasoning), expected)
        yield identical(f"unit.grounding.{index}.positions", fed, unit["end_pos"] - unit["start_pos"])
