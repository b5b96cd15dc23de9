"""Names, aliases, paths, and models this build only knows by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamscope.engine.errors import ModelNotFound, NotImplementedYet
from dreamscope.engine.models.registry import (
    DEFAULT_MODEL,
    MODELS,
    ModelSpec,
    find_model,
    require_available,
)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("moondream2", "moondream2"),
        ("Moondream-2B", "moondream2"),
        ("vikhyatk/moondream2", "moondream2"),
        (" moondream3 ", "moondream3-preview"),
        ("MOONDREAM3.1-9b-a2b", "moondream3.1-9B-A2B"),
        ("sprite-2", "sprite-2"),
    ],
)
def test_names_and_aliases(name: str, canonical: str) -> None:
    assert find_model(name).id == canonical


def test_every_model_has_one_place_or_a_reason() -> None:
    for spec in MODELS.values():
        places = [
            place for place in (spec.hub, spec.packaged, spec.path, spec.unavailable) if place is not None
        ]
        assert len(places) == 1, spec.id
    assert DEFAULT_MODEL in MODELS


def test_names_are_unique_and_in_lower_case() -> None:
    names = [name.lower() for spec in MODELS.values() for name in (spec.id, *spec.aliases)]
    assert len(set(names)) == len(names)


def test_a_folder_or_file_is_a_model(checkpoint: Path) -> None:
    folder = find_model(str(checkpoint))
    assert (folder.path, folder.id) == (checkpoint, checkpoint.name)
    assert find_model(str(checkpoint / "model.safetensors")).id == checkpoint.name


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    for name in ("gpt-9", str(tmp_path / "nowhere"), ""):
        with pytest.raises(ModelNotFound, match="sprite-2, sprite-3, moondream2"):
            find_model(name)


def test_models_that_cannot_run_yet_say_so() -> None:
    spec = ModelSpec("later", "Later", "Only a name.", unavailable="it is not part of this build")
    with pytest.raises(
        NotImplementedYet, match=r"not part of this build.*Available are sprite-2, sprite-3, moondream2"
    ):
        require_available(spec)
    require_available(find_model("sprite-3"))


def test_entry_of_the_model_list() -> None:
    info = find_model("moondream2").info(default=True, loaded=True)
    assert (info.id, info.default, info.loaded, info.context_length) == ("moondream2", True, True, 2048)
    assert info.skills == ("query", "caption", "point", "detect", "gaze", "chat")
