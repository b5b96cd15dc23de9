"""Finding files without any network: cached, local, offline, refused, downloading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

from dreamscope.engine.errors import NotImplementedYet, WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.registry import ModelSpec, find_model
from dreamscope.engine.weights import hub
from dreamscope.engine.weights.hub import is_local, locate
from dreamscope.engine.weights.progress import Progress

MOONDREAM = find_model("moondream2")


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)


def _downloads(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    monkeypatch.setattr(hub, "transfer", lambda file, bar: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", action)


def test_the_cache_is_used_at_the_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cached(repo: str, filename: str, revision: str) -> str:
        asked.append((repo, filename, revision))
        return f"/cache/{filename}"

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    files = locate(MOONDREAM)
    assert (files.weights, files.tokenizer) == (
        Path("/cache/model.safetensors"),
        Path("/cache/tokenizer.json"),
    )
    assert files.config == {}
    assert asked == [
        ("vikhyatk/moondream2", "model.safetensors", "2025-06-21"),
        ("moondream/starmie-v1", "tokenizer.json", "main"),
    ]
    assert is_local(MOONDREAM)


def test_downloading_reports_bytes(
    monkeypatch: pytest.MonkeyPatch, uncached: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(repo: str, filename: str, revision: str, tqdm_class: Any) -> str:
        with tqdm_class(total=100, unit="B", desc=filename) as bar:
            bar.update(40)
            bar.update(60)
        return str(tmp_path / filename)

    _downloads(monkeypatch, download)
    reports: list[Progress] = []
    files = locate(MOONDREAM, reports.append)
    assert files.weights == tmp_path / "model.safetensors"
    first = [report for report in reports if "model.safetensors" in report.message]
    assert first[0].message == "Downloading model.safetensors of vikhyatk/moondream2 at 2025-06-21"
    assert (first[-1].done, first[-1].total) == (100, 100)
    assert {report.stage for report in reports} == {"download"}
    assert capsys.readouterr() == ("", "")  # the bar itself draws nothing


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("cannot reach the hub"), httpx.ConnectError("no route")]
)
def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, uncached: None, error: Exception) -> None:
    def download(*args: Any, **kwargs: Any) -> str:
        raise error

    _downloads(monkeypatch, download)
    with pytest.raises(WeightsNotFound) as caught:
        locate(MOONDREAM)
    for part in ("dreamscope pull moondream2", "2025-06-21", "moondream/starmie-v1", "sprite-2", str(error)):
        assert part in caught.value.message
    assert not is_local(MOONDREAM)


def test_offline_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library itself, told to stay offline, with an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFound, match="not on this machine and cannot be downloaded"):
        locate(MOONDREAM)


def test_a_refusal_names_the_file(monkeypatch: pytest.MonkeyPatch, uncached: None) -> None:
    def download(*args: Any, **kwargs: Any) -> str:
        request = httpx.Request("GET", "https://hub.example/file")
        raise RevisionNotFoundError("Revision not found.", response=httpx.Response(404, request=request))

    _downloads(monkeypatch, download)
    with pytest.raises(
        WeightsNotFound, match=r"refused model\.safetensors of vikhyatk/moondream2 at 2025-06-21"
    ):
        locate(MOONDREAM)


def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch, uncached: None) -> None:
    def download(*args: Any, **kwargs: Any) -> str:
        raise OSError(28, "No space left on device")

    _downloads(monkeypatch, download)
    with pytest.raises(WeightsNotFound, match=r"could not be stored: .*No space left"):
        locate(MOONDREAM)


def _local(path: Path) -> ModelSpec:
    return ModelSpec(id="mine", name="Mine", description="", path=path)


@pytest.mark.parametrize("name", ["model.safetensors", "weights.safetensors"])
def test_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsNotFound, match=r"no tokenizer\.json.*starmie-v1"):
        locate(_local(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert locate(_local(tmp_path)).config == {}
    (tmp_path / "config.json").write_text('{"text": {}}', encoding="utf-8")
    for place in (tmp_path, tmp_path / name):
        files = locate(_local(place))
        assert (files.weights, files.config) == (tmp_path / name, {"text": {}})
    assert is_local(_local(tmp_path))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"model\.safetensors, weights\.safetensors, .* in "):
        locate(_local(tmp_path))
    assert not is_local(_local(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsInvalid, match=r"config\.json"):
        locate(_local(tmp_path))


def test_a_model_known_by_name_only() -> None:
    spec = ModelSpec("later", "Later", "Only a name.", unavailable="it is not part of this build")
    with pytest.raises(NotImplementedYet):
        locate(spec)
    assert not is_local(spec)


def test_every_shard_of_an_index_is_fetched(
    monkeypatch: pytest.MonkeyPatch, uncached: None, tmp_path: Path
) -> None:
    spec = find_model("moondream3-preview")
    assert spec.hub is not None
    shards = {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}
    asked = []

    def download(repo: str, filename: str, revision: str, tqdm_class: Any) -> str:
        asked.append((repo, filename))
        if filename.endswith(".json"):
            (tmp_path / filename).write_text(json.dumps({"weight_map": shards}), encoding="utf-8")
        return str(tmp_path / filename)

    _downloads(monkeypatch, download)
    files = locate(spec)
    assert files.weights == tmp_path / "model.safetensors.index.json"
    repo = "moondream/moondream3-preview"
    assert asked == [
        *(
            (repo, name)
            for name in ("model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors")
        ),
        ("moondream/starmie-v1", "tokenizer.json"),
    ]


def test_a_checkpoint_is_here_when_all_its_shards_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}), encoding="utf-8")
    there = {index.name, "tokenizer.json"}
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda repo, filename, revision: str(tmp_path / filename) if filename in there else None,
    )
    spec = find_model("moondream3-preview")
    assert not is_local(spec)
    there.add("model-1.safetensors")
    assert is_local(spec)
