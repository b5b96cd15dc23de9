"""One trained tokenizer, one scene maker and one tiny recipe for the whole folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from dreamscope.engine.models.tokenizer import Tokenizer
from dreamscope.engine.sprite.export import load_tokenizer
from dreamscope.engine.sprite.recipe import Recipe, Sizes
from dreamscope.engine.sprite.scenes import SceneMaker, Stage
from dreamscope.engine.sprite.vocabulary import PairEncoder


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    load_tokenizer(path, 1024)
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
def recipe(sizes: Sizes) -> Recipe:
    """A run that is over after four steps of one process."""
    return Recipe(
        sizes=sizes, processes=1, vision_batch=3, text_batch=2, answer_tokens=96, images=12, warmup=1, seed=4
    )
