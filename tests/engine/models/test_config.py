"""The defaults are the published checkpoint; everything else is checked on the way in."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import expected_shapes


def test_the_defaults_have_the_published_parameter_counts() -> None:
    shapes = expected_shapes(Moondream2Config())
    assert len(shapes) == 592
    groups = {name: 0 for name in ("vision", "text", "region")}
    for name, shape in shapes.items():
        groups[name.split(".")[0]] += math.prod(shape)
    assert groups == {"vision": 448_649_072, "text": 1_418_270_720, "region": 60_317_312}


def test_derived_sizes_of_the_defaults() -> None:
    config = Moondream2Config()
    assert (config.vision.grid, config.image_tokens, config.prefix_len) == (27, 729, 730)
    assert (config.text.head_dim, config.text.rotary_dim, config.text.qkv_dim) == (64, 32, 6144)


def test_the_published_config_file_is_empty() -> None:
    assert Moondream2Config.from_dict({"model_type": "moondream1", "config": {}}) == Moondream2Config()
    assert Moondream2Config.from_dict({}) == Moondream2Config()


def test_round_trip(config: Moondream2Config) -> None:
    assert Moondream2Config.from_dict(config.to_dict()) == config
    assert Moondream2Config.from_dict({"config": config.to_dict()}) == config


def test_without_key_heads_there_is_one_per_query_head() -> None:
    small = {"text": {"dim": 1024, "n_heads": 16}, "vision": {"proj_out_dim": 1024}, "region": {"dim": 1024}}
    assert Moondream2Config.from_dict(small).text.n_kv_heads == 16


def test_a_skill_without_template_has_none() -> None:
    config = Moondream2Config.from_dict(
        {"tokenizer": {"templates": {"caption": {"short": [1], "long": None}}}}
    )
    assert config.tokenizer.caption == {"short": (1,)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": {"dims": 4}}, r"text\.dims"),
        ({"text": {"dim": "4"}}, r"text\.dim must be an integer of at least 1"),
        ({"text": {"dim": True}}, r"text\.dim must be"),
        ({"text": {"dim": -4}}, r"text\.dim must be"),
        ({"text": 3}, "'text' must be an object"),
        ({"config": 3}, "must be an object"),
        ({"text": {"n_heads": 3}}, "multiple of text.n_heads"),
        ({"text": {"n_heads": 0}}, r"text\.n_heads must be an integer of at least 1"),
        ({"text": {"n_kv_heads": 5}}, "multiple of text.n_kv_heads"),
        ({"text": {"dim": 1024}}, "proj_out_dim must equal"),
        ({"vision": {"crop_size": 100}}, "multiple of vision.enc_patch_size"),
        ({"vision": {"overlap_margin": 14}}, "overlap_margin"),
        ({"region": {"dim": 5}}, "region.dim"),
        ({"text": {"max_context": 730}}, "max_context"),
        ({"vision": {"in_channels": 4}}, "in_channels must be 3"),
        ({"tokenizer": {"bos": 1}}, r"tokenizer\.bos"),
        ({"tokenizer": {"templates": {"sing": {}}}}, "'sing'"),
        ({"tokenizer": {"templates": {"query": {"prefix": [1]}}}}, r"query\.suffix"),
        ({"tokenizer": {"templates": {"caption": {"short": [1, "2"]}}}}, r"caption\.short"),
    ],
)
def test_bad_configs_name_the_field(data: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsInvalid, match=message):
        Moondream2Config.from_dict(data)
