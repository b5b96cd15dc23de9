"""One trained tokenizer, one scene maker and one tiny recipe for the whole folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tokenizers

from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.sprite.conventions import MOONDREAM3
from dreamscope.engine.sprite.export import load_tokenizer
from dreamscope.engine.sprite.mix import SEGMENT_MIX
from dreamscope.engine.sprite.recipe import Mixture, Recipe, Sizes
from dreamscope.engine.sprite.scenes import SceneMaker, Stage
from dreamscope.engine.sprite.vocabulary import PairEncoder, with_path_numbers


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    load_tokenizer(path)
    return path


@pytest.fixture(scope="session")
def raw_tokenizer(tokenizer_file: Path) -> tokenizers.Tokenizer:
    return load_tokenizer(tokenizer_file)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_file: Path) -> Tokenizer:
    """The engine's view of the same file."""
    return Tokenizer.load(tokenizer_file)


@pytest.fixture(scope="session")
def encoder(raw_tokenizer: tokenizers.Tokenizer) -> PairEncoder:
    return PairEncoder(raw_tokenizer)


@pytest.fixture(scope="session")
def tokenizer_file3(raw_tokenizer: tokenizers.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of Sprite 3: the same with the numbers of paths."""
    path = tmp_path_factory.mktemp("vocabulary3") / "tokenizer.json"
    with_path_numbers(raw_tokenizer).save(str(path))
    return path


@pytest.fixture(scope="session")
def raw_tokenizer3(tokenizer_file3: Path) -> tokenizers.Tokenizer:
    return load_tokenizer(tokenizer_file3)


@pytest.fixture(scope="session")
def tokenizer3(tokenizer_file3: Path) -> Tokenizer:
    return Tokenizer.load(tokenizer_file3)


@pytest.fixture(scope="session")
def encoder3(raw_tokenizer3: tokenizers.Tokenizer) -> PairEncoder:
    return PairEncoder(raw_tokenizer3, MOONDREAM3)


@pytest.fixture(scope="session")
def maker() -> SceneMaker:
    """Scenes of the shipped world, small and with few backgrounds."""
    return SceneMaker(Stage(side=96, most=6), seed=3, pool_size=16)


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """Widths that are all different where the architecture allows it."""
    return Sizes(
        crop=70,
        vision_dim=32,
        vision_layers=2,
        vision_heads=2,
        projection=40,
        dim=48,
        layers=2,
        heads=3,
        region_inner=24,
        coord_features=12,
        size_features=20,
        context=320,
    )


@pytest.fixture(scope="session")
def sizes3(sizes: Sizes) -> Sizes:
    """The same widths with experts from the second block on."""
    return dataclasses.replace(
        sizes, layers=3, vocabulary=1072, mixture=Mixture(experts=6, active=2, inner=20, start=1)
    )


@pytest.fixture(scope="session")
def recipe3(sizes3: Sizes, recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, sizes=sizes3, mix=SEGMENT_MIX, answer_tokens=112)


@pytest.fixture(scope="session")
def recipe(sizes: Sizes) -> Recipe:
    """A run that is over after four steps of one process."""
    return Recipe(
        sizes=sizes, processes=1, vision_batch=3, text_batch=2, answer_tokens=96, images=12, warmup=1, seed=4
    )
