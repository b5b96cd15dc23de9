"""The bytes that the decode benchmark says a token reads are those that the operations do read."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.devices.torch_experts import Fp8Experts
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random_shards import EXPERT_FORMS, ExpertForm, write_random_shards

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
LAYERS, DENSE, EXPERTS, ACTIVE, DIM, INNER = 4, 1, 7, 3, 64, 128


@pytest.fixture(scope="module")
def config() -> Moondream3Config:
    moe = {
        "num_experts": EXPERTS, "start_layer": DENSE, "experts_per_token": ACTIVE, "expert_inner_dim": INNER,
    }  # fmt: skip
    text = {"dim": DIM, "ff_dim": 72, "n_layers": LAYERS, "vocab_size": 290, "n_heads": 4, "max_context": 96}
    vision = {
        "enc_dim": 8, "enc_patch_size": 2, "enc_n_layers": 1, "enc_ff_dim": 8, "enc_n_heads": 1,
        "proj_out_dim": DIM, "crop_size": 6, "overlap_margin": 1, "proj_inner_dim": 8,
    }  # fmt: skip
    region = {"dim": DIM, "coord_feat_dim": 8, "size_feat_dim": 8}
    templates = {"query": {"prefix": [1, 40, 2], "suffix": [3]}}
    groups = {"vision": vision, "region": region, "tokenizer": {"templates": templates}}
    return Moondream3Config.from_dict({"text": {**text, "moe": moe}, **groups})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(FOLDER)
    threads = torch.get_num_threads()  # which a benchmark sets for the process
    names = ("report", "bandwidth", "subject", "decode", "moondream3_size")
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    torch.set_num_threads(threads)
    for name in names:
        del sys.modules[name]


class Reads(TorchDispatchMode):
    """Notes which bytes of some parameters the operations read; a view reads nothing yet."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._storages = {_storage(parameter) for parameter in parameters}
        self._whole: set[tuple[int, int]] = set()
        self._rows = 0

    @property
    def total(self) -> int:
        """Bytes, each counted once."""
        reached = count = 0
        for begin, size in sorted(self._whole):
            count += max(0, begin + size - max(begin, reached))
            reached = max(reached, begin + size)
        return count + self._rows

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = {_storage(tensor) for tensor in tree_leaves(result) if isinstance(tensor, torch.Tensor)}
        for arg in args:
            if isinstance(arg, torch.Tensor) and _storage(arg) in self._storages - made:
                if func is torch.ops.aten.index_select.default:
                    self._rows += result.nbytes
                else:
                    assert arg.is_contiguous() or arg.mT.is_contiguous(), func
                    self._whole.add((arg.data_ptr(), arg.nbytes))
        return result


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(part: Any) -> list[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        return [part]
    if isinstance(part, (list, tuple)):
        return [tensor for item in part for tensor in _tensors(item)]
    if isinstance(part, Fp8Experts):
        return [part.codes, part.scales]  # what a code stands for is in a table that stays in the cache
    names = getattr(part, "__dataclass_fields__", ())
    return [tensor for name in names for tensor in _tensors(getattr(part, name))]


@pytest.mark.parametrize("form", EXPERT_FORMS)
def test_a_token_reads_what_is_counted(
    bench: SimpleNamespace, config: Moondream3Config, tmp_path: Path, form: ExpertForm
) -> None:
    folder = write_random_shards(config, tmp_path, form, shard_bytes=100_000)
    model = load_model(folder, open_device("cpu", "bfloat16"))
    reads = Reads(_tensors(model.weights.text))
    with model.device.inference():
        cache = model.new_cache()
        model.forward(model.embed([1, 50, 60]), cache)
        with reads:
            model.logits(model.forward(model.embed([70]), cache))
    counted = bench.decode.weight_bytes(model)
    assert reads.total == counted
    assert counted < 0.7 * bench.decode.all_bytes(model.weights.text)


def test_only_the_active_experts_count(
    bench: SimpleNamespace, config: Moondream3Config, tmp_path: Path
) -> None:
    model = load_model(write_random_shards(config, tmp_path), open_device("cpu", "bfloat16"))
    text = model.weights.text
    row = DIM * 2
    everything = bench.decode.all_bytes(text) - text.wte.nbytes + row
    idle = (LAYERS - DENSE) * (EXPERTS - ACTIVE) * 3 * INNER * DIM * 2
    assert bench.decode.weight_bytes(model) == everything - idle


@pytest.mark.parametrize("form", EXPERT_FORMS)
def test_a_whole_run(
    bench: SimpleNamespace,
    config: Moondream3Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: ExpertForm,
) -> None:
    monkeypatch.setattr(bench.moondream3_size, "published_sizes", lambda: config)
    target, kept = tmp_path / "out.json", tmp_path / "kept"
    flags = (
        "--experts",
        form,
        "--tokens",
        "3",
        "--threads",
        "1",
        "--folder",
        str(kept),
        "--json",
        str(target),
    )
    assert bench.moondream3_size.main(flags) == 0
    said = capsys.readouterr().out
    assert "The model needs" in said
    assert "| decode | tokens/s |" in said
    settings = json.loads(target.read_text(encoding="utf-8"))["settings"]
    assert settings["bytes_per_token"] == settings["weight_bytes_per_token"] + settings["kv_bytes_per_token"]
    assert settings["bytes_of_all_weights"] > settings["weight_bytes_per_token"]
    files = list(kept.glob("*.safetensors"))
    assert settings["bytes_on_disk"] == sum(file.stat().st_size for file in files)
    written = [file.stat().st_mtime_ns for file in files]
    assert bench.moondream3_size.main(flags) == 0  # a checkpoint that is there is used as it is
    assert [file.stat().st_mtime_ns for file in files] == written


def test_a_full_disk_is_noticed_before_writing(
    bench: SimpleNamespace,
    config: Moondream3Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench.moondream3_size, "published_sizes", lambda: config)
    usage: Callable[[Path], SimpleNamespace] = lambda place: SimpleNamespace(free=1000)  # noqa: E731
    monkeypatch.setattr(bench.moondream3_size.shutil, "disk_usage", usage)
    assert bench.moondream3_size.main(["--threads", "1", "--folder", str(tmp_path)]) == 1
    assert "has 0.1 MiB free. Choose another place with --folder." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
