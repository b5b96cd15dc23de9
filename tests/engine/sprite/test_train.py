from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from dreamscope.engine.sprite import train
from dreamscope.engine.sprite.recipe import Recipe
from dreamscope.engine.sprite.train import Averager, Trainer, mismatch, run


@pytest.fixture
def directory(tokenizer_file: Path, tmp_path: Path) -> Path:
    shutil.copy(tokenizer_file, tmp_path / "tokenizer.json")
    return tmp_path


@pytest.fixture
def keep_threads() -> Iterator[None]:
    """`run` claims one thread for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _length(trainer: Trainer) -> int:
    return sum(trainer.weights[name].numel() for name in trainer.names)


def _same(one: Trainer, other: Trainer) -> bool:
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_a_resumed_run_equals_an_uninterrupted_one(recipe: Recipe, directory: Path) -> None:
    whole = Trainer(recipe, directory, rank=0)
    for _ in range(4):
        whole.advance()
    first = Trainer(recipe, directory, rank=0)
    for _ in range(2):
        first.advance()
    first.save()
    resumed = Trainer(recipe, directory, rank=0)
    assert resumed.step == 2
    assert resumed.seen == 6
    assert _same(resumed, first)
    assert not _same(resumed, whole)
    for _ in range(2):
        resumed.advance()
    assert _same(resumed, whole)
    assert not list(directory.glob("*.tmp"))


def test_processes_start_equal_and_see_different_images(recipe: Recipe, directory: Path) -> None:
    pair = [Trainer(recipe, directory, rank) for rank in (0, 1)]
    assert _same(*pair)
    for trainer in pair:
        trainer.advance()
    assert not _same(*pair)


def test_fixed_features_stay(recipe: Recipe, directory: Path) -> None:
    trainer = Trainer(recipe, directory, rank=0)
    before = {name: w.clone() for name, w in trainer.weights.items()}
    for _ in range(2):
        trainer.advance()
    changed = {name for name, w in trainer.weights.items() if not torch.equal(w, before[name])}
    assert changed == set(before) - {"region.coord_features", "region.size_features"}


def test_training_learns(recipe: Recipe, directory: Path) -> None:
    longer = dataclasses.replace(recipe, images=3_000, warmup=1)
    trainer = Trainer(longer, directory, rank=0)
    losses = [float(trainer.advance().language.detach()) for _ in range(30)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_averaging_gives_both_processes_the_mean(recipe: Recipe, directory: Path) -> None:
    pair = [Trainer(recipe, directory, rank) for rank in (0, 1)]
    for trainer in pair:
        trainer.advance()
    mean = (pair[0].weights["text.wte"] + pair[1].weights["text.wte"]) / 2
    averager = Averager(2, _length(pair[0]))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda trainer: trainer.average(averager), pair))
    assert _same(*pair)
    torch.testing.assert_close(pair[0].weights["text.wte"], mean)


def test_an_averager_can_be_used_again() -> None:
    averager = Averager(2, 3)

    def rounds(rank: int) -> list[list[float]]:
        return [averager(rank, torch.full((3,), float(10 * turn + rank))).tolist() for turn in range(20)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(rounds, (0, 1))
    assert first == second == [[10 * turn + 0.5] * 3 for turn in range(20)]


@pytest.mark.usefixtures("keep_threads")
def test_a_run_ends_when_its_images_are_seen(
    recipe: Recipe, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_LOG_EVERY", 2)
    length = _length(Trainer(recipe, directory, 0))
    run(0, recipe, directory, Averager(1, length))
    done = Trainer(recipe, directory, 0)
    assert done.step == 4
    assert done.seen == recipe.images
    rows = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [6, 12]
    assert {"language", "coords", "extents", "dense", "patch_accuracy", "rate"} <= set(rows[0])
    run(0, recipe, directory, Averager(1, length))  # nothing is left to do
    assert _same(Trainer(recipe, directory, 0), done)


def _checkpoint(directory: Path, rank: int, step: int) -> None:
    torch.save({"weights": {}, "optimizer": {}, "step": step}, directory / f"rank{rank}.pt")


def test_checkpoints_must_fit_together(tmp_path: Path) -> None:
    assert mismatch(tmp_path, 2) is None
    _checkpoint(tmp_path, 0, 400)
    assert "1 checkpoints, but the run has 2 processes" in (mismatch(tmp_path, 2) or "")
    _checkpoint(tmp_path, 1, 400)
    assert mismatch(tmp_path, 2) is None
    _checkpoint(tmp_path, 1, 800)
    assert "'rank1.pt': 800" in (mismatch(tmp_path, 2) or "")


def test_a_run_that_cannot_go_on_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, step in ((0, 400), (1, 800)):
        _checkpoint(tmp_path, rank, step)
    monkeypatch.setattr(sys, "argv", ["train", str(tmp_path), "--processes", "2"])
    with pytest.raises(SystemExit):
        train.main()
    assert "different steps" in capsys.readouterr().err


def test_a_warm_start_is_for_the_mixture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", str(tmp_path), "--from", str(tmp_path)])
    with pytest.raises(SystemExit):
        train.main()
    assert "--from is for the recipes of Sprite 3" in capsys.readouterr().err
    assert not (tmp_path / "start.pt").exists()
