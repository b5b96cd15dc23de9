"""What tells weights of the same name apart."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from dreamscope.engine.models.registry import ModelSpec, find_model
from dreamscope.engine.weights.revision import revision_of


def _checkpoint(folder: Path, **tensors: int) -> ModelSpec:
    folder.mkdir(exist_ok=True)
    save_file({name: np.zeros(size) for name, size in tensors.items()}, folder / "model.safetensors")
    return find_model(str(folder))


@pytest.mark.parametrize("name", ["sprite-2", "sprite-3"])
def test_a_packaged_model_is_named_by_the_hash_of_its_weights(name: str) -> None:
    spec = find_model(name)
    folder = spec.directory()
    assert folder is not None
    weights = (folder / "model.safetensors").read_bytes()
    assert revision_of(spec) == hashlib.sha256(weights).hexdigest()[:12]


def test_a_pinned_revision_is_the_revision() -> None:
    assert revision_of(find_model("moondream2")) == "2025-06-21"


def test_a_branch_is_named_by_the_commit_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_model("moondream3-preview")
    cached: list[str | None] = [None]
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: cached[0])
    assert revision_of(spec) == "main"
    cached[0] = "/cache/snapshots/0123456789abcdef0123/model.safetensors.index.json"
    assert revision_of(spec) == "0123456789ab"


def test_a_local_model_is_told_by_names_sizes_and_headers(tmp_path: Path) -> None:
    first = revision_of(_checkpoint(tmp_path / "a", x=3))
    assert len(first) == 12
    assert int(first, 16) >= 0
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert revision_of(find_model(str(tmp_path / "b"))) == first
    assert revision_of(_checkpoint(tmp_path / "b", x=4)) != first
    assert revision_of(_checkpoint(tmp_path / "b", y=3)) != first


def test_all_shards_count(tmp_path: Path) -> None:
    spec = _checkpoint(tmp_path / "a", x=3)
    (tmp_path / "a" / "model.safetensors").rename(tmp_path / "a" / "first.safetensors")
    index = '{"weight_map": {"x": "first.safetensors", "y": "second.safetensors"}}'
    (tmp_path / "a" / "model.safetensors.index.json").write_text(index)
    assert revision_of(spec) == ""  # a shard is missing
    revisions = set()
    for size in (1, 2):
        save_file({"y": np.zeros(size)}, tmp_path / "a" / "second.safetensors")
        revisions.add(revision_of(spec))
    assert len(revisions) == 2


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    spec = _checkpoint(tmp_path / "a", x=3)
    (tmp_path / "a" / "model.safetensors").unlink()
    assert revision_of(spec) == ""
    assert revision_of(replace(spec, path=None)) == ""
