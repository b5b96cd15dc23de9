"""Which models there are: the table, the checkpoints of a folder, and the default in front."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dreamscope.engine.errors import ModelNotFound
from dreamscope.engine.models.registry import MODELS
from dreamscope.engine.weights import known
from dreamscope.engine.weights.known import announce, find_spec, known_models, with_default


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    for name in ("mine", "Moondream2", "sprite-2"):
        shutil.copytree(checkpoint, tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no folder", encoding="utf-8")
    return tmp_path


def test_without_a_folder_it_is_the_table() -> None:
    assert known_models(None) == tuple(MODELS.values())


def test_what_is_to_be_downloaded_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MODELS["moondream2"]
    monkeypatch.setattr(known, "is_local", lambda _: False)
    assert (announce(spec).state, announce(spec).download_bytes) == ("download", 3_900_000_000)
    monkeypatch.setattr(known, "is_local", lambda _: True)
    assert announce(spec).download_bytes is None


def test_checkpoints_of_a_folder_follow_the_table(folder: Path) -> None:
    shutil.rmtree(folder / "Moondream2")
    shutil.rmtree(folder / "sprite-2")
    specs = known_models(folder)
    assert [spec.id for spec in specs] == [*MODELS, "mine"]
    assert specs[-1].path == (folder / "mine").resolve()
    assert (specs[-1].family, specs[-1].context_length) == ("moondream2", 64)
    assert announce(specs[-1]).state == "ready"


def test_a_folder_named_like_a_known_model_is_used_in_its_place(folder: Path) -> None:
    specs = known_models(folder)
    assert [spec.id for spec in specs] == [*MODELS, "mine"]
    real = find_spec("vikhyatk/MOONDREAM2", specs)
    assert real is not None
    assert (real.id, real.hub, real.path) == ("moondream2", None, (folder / "Moondream2").resolve())
    sprite = find_spec("sprite-2", specs)
    assert sprite is not None
    assert sprite.packaged is None


def test_what_is_wrong_with_a_checkpoint_is_its_reason(folder: Path) -> None:
    (folder / "mine" / "config.json").write_text(json.dumps({"text": {"dim": -1}}), encoding="utf-8")
    shutil.rmtree(folder / "Moondream2")
    (folder / "sprite-2" / "tokenizer.json").unlink()
    specs = {spec.id: announce(spec) for spec in known_models(folder)}
    assert (specs["mine"].state, specs["sprite-2"].state) == ("unavailable", "unavailable")
    assert "dim" in (specs["mine"].reason or "")
    assert "has no tokenizer.json" in (specs["sprite-2"].reason or "")


def test_the_default_comes_first(folder: Path) -> None:
    specs = known_models(folder)
    for name in ("mine", "MINE", "moondream3"):
        ordered = with_default(name, specs)
        assert ordered[0] == find_spec(name, specs)
        assert {spec.id for spec in ordered} == {spec.id for spec in specs}


def test_a_path_as_default_adds_a_model_or_stands_in(checkpoint: Path, folder: Path) -> None:
    table = known_models(None)
    first, *rest = with_default(str(checkpoint), table)
    assert (first.id, first.path, first.context_length) == (checkpoint.name, checkpoint, 64)
    assert tuple(rest) == table
    first, *rest = with_default(str(folder / "sprite-2"), table)
    assert (first.id, first.path) == ("sprite-2", folder / "sprite-2")
    assert [spec.id for spec in rest] == [spec.id for spec in table if spec.id != "sprite-2"]


def test_an_unknown_default_lists_what_there_is(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"No model 'gpt-9'. Known are sprite-2, .*, mine; or give"):
        with_default("gpt-9", known_models(folder))
