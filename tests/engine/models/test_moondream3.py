"""The published sizes of Moondream 3, its config files, and the names of its tensors."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.families import FAMILIES, family_of, recognise
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.moondream3.weights import canonical_name, expected_shapes


def test_the_defaults_have_the_published_parameter_counts() -> None:
    shapes = expected_shapes(Moondream3Config())
    assert len(shapes) == 662
    groups = {name: 0 for name in ("vision", "text", "region")}
    for name, shape in shapes.items():
        groups[name.split(".")[0]] += math.prod(shape)
    assert groups == {"vision": 448_649_072, "text": 8_812_101_632, "region": 7_876_224}
    experts = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 3 and shape[0] == 64)
    assert experts == 8_053_063_680


def test_both_places_of_the_groups_and_both_spellings() -> None:
    given = {"text": {"moe": {"n_experts": 16, "n_experts_per_tok": 4}}}
    config = Moondream3Config.from_dict({"model_type": "moondream3", "config": given})
    assert config == Moondream3Config.from_dict(given)
    assert config.text.moe is not None
    assert (config.text.moe.num_experts, config.text.moe.experts_per_token) == (16, 4)
    assert config.text.moe.start_layer == 4


def test_round_trip() -> None:
    config = Moondream3Config.from_dict({"text": {"moe": {"num_experts": 9}, "tau_gelu": "tanh"}})
    assert Moondream3Config.from_dict(config.to_dict()) == config
    dense = Moondream3Config.from_dict({"text": {"moe": None}})
    assert dense.text.moe is None
    assert Moondream3Config.from_dict(dense.to_dict()) == dense


def test_openers() -> None:
    ids = Moondream3Config().tokenizer
    assert (ids.query_opener(False), ids.query_opener(True)) == ((3,), (4,))
    ids = Moondream2Config().tokenizer
    assert (ids.query_opener(False), ids.query_opener(True)) == ((3, 3), (3, 4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": {"n_kv_heads": 16}}, "n_kv_heads must equal text.n_heads with tau_attn"),
        ({"text": {"tau_gelu": "relu"}}, "tau_gelu must be erf or tanh"),
        ({"text": {"tau_attn": 1}}, "tau_attn must be true or false"),
        ({"text": {"rope_theta": 0}}, "rope_theta must be a positive number"),
        ({"text": {"moe": {"experts": 3}}}, r"text\.moe\.experts"),
        ({"text": {"moe": {"num_experts": 4}}}, "experts_per_token must be at most"),
        ({"text": {"moe": 3}}, "'moe' must be an object"),
        ({"region": {"decoder_arch": "mlp"}}, "decoder_arch must be linear"),
        ({"region": {"coord_out_dim": 1}}, "coord_out_dim"),
    ],
)
def test_bad_configs_name_the_field(data: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsInvalid, match=message):
        Moondream3Config.from_dict(data)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.text.blocks.4.mlp.fc1.weight", "text.blocks.4.mlp.fc1.weight"),
        ("text_model.transformer.h.4.mlp.experts.weight", "text.blocks.4.mlp.fc1.weight"),
        ("text_model.transformer.h.4.moe_quant.down_scale", "text.blocks.4.mlp.fc2.weight.row_scale"),
        ("text_model.transformer.h.0.mlp.fc2.bias", "text.blocks.0.mlp.fc2.bias"),
        ("text_model.transformer.h.2.tau_wqwv", "text.blocks.2.attn.tau.wqwv"),
        ("text_model.transformer.h.5.gate.bias", "text.blocks.5.mlp.router.bias"),
        ("region_model.size_head.weight", "region.size_decoder.weight"),
        ("region_model.ln.bias", "region.ln.bias"),
        ("text.blocks.4.mlp.fc2", "text.blocks.4.mlp.fc2.weight"),
        ("text.blocks.4.mlp.fc2_biases", "text.blocks.4.mlp.fc2.weight.biases"),
        ("text.blocks.4.attn.tau_alpha", "text.blocks.4.attn.tau.alpha"),
        ("vision.proj_fc1.weight", "vision.proj_mlp.fc1.weight"),
        ("text.wte.weight", "text.wte"),
    ],
)
def test_every_layout_has_its_names(key: str, name: str) -> None:
    place = canonical_name(key)
    assert place is not None
    assert (place.name, place.transposed) == (name, False)


def test_fourier_features_of_the_older_layout_are_transposed() -> None:
    place = canonical_name("region_model.coordinate_features.weight")
    assert place is not None
    assert (place.name, place.transposed) == ("region.coord_features", True)
    assert canonical_name("text_model.transformer.h.3.kv_quantizer.k_scale") is None


def test_a_family_is_recognised_by_its_tensors() -> None:
    for family in FAMILIES.values():
        config = family.config()
        assert family_of(config) is family
        assert recognise([f"model.{name}" for name in family.expected_shapes(config)]) is family
    assert recognise(["text_model.transformer.h.0.tau_wq"]).name == "moondream3"
    assert recognise(["text.blocks.4.mlp.router.weight"]).name == "moondream3"
