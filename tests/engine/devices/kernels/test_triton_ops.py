"""Operations by kernel are those of PyTorch, one by one and in a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamscope.engine.devices import cuda
from dreamscope.engine.devices.program import Draw, Features, Feeds
from dreamscope.engine.devices.runner import ImageKey, Limits, Prefill, Rule
from dreamscope.engine.devices.torch_ops import TorchDevice
from dreamscope.engine.models.lora import Adapter, ExpertLowRank, LowRank
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.random import write_random_checkpoint

ops: Any = pytest.importorskip("dreamscope.engine.devices.triton_ops")
paged_attention: Any = pytest.importorskip("dreamscope.engine.devices.kernels.paged_attention")
pytestmark = pytest.mark.cuda
TINY = Path(__file__).parents[3] / "data" / "golden" / "moondream3" / "tiny_a" / "config.json"


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged_attention, "_MAX_SPLITS", 2)


@pytest.fixture(scope="module")
def devices(place: str) -> list[TorchDevice]:
    """By kernel, and plain."""
    return [kind("a device", "float32", torch.device(place)) for kind in (ops.TritonOps, TorchDevice)]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Moondream 3: tau, and experts behind two blocks."""
    groups = json.loads(TINY.read_text("utf-8"))["config"]
    groups["text"]["n_layers"] = 3
    return write_random_checkpoint(Moondream3Config.from_dict(groups), tmp_path_factory.mktemp("mixture"))


def test_attention_over_the_slices_of_a_projection(devices):
    found = []
    for device in devices:
        qkv = device.array(np.random.default_rng(1).normal(size=(3, 1, 8, 16)).astype(np.float32))
        q = device.split(device.permute(qkv, (0, 2, 1, 3)), (4, 2, 2), 1)[0][:, :, 0]
        pages = device.array(np.random.default_rng(2).normal(size=(2, 30, 2, 16)).astype(np.float32))
        table = device.array(np.random.default_rng(3).integers(0, 30, (3, 12)))[:, :11]
        lengths = device.array(np.array([1, 11, 6]))
        found.append(device.paged_attention(q, pages[0], pages[1], table, lengths))
    torch.testing.assert_close(*found)


def test_draws_with_numbers_that_lie_apart(devices):
    noise = np.random.default_rng(4)
    logits, numbers = noise.normal(0, 3, (6, 90)).astype(np.float32), noise.random((6, 4)).astype(np.float32)
    heat, top_p = np.array([0.3, 1, 1, 2, 1, 1], np.float32), np.array([0.9, 0.5, 1, 0.8, 0, 0.9], np.float32)
    found = []
    for device in devices:
        there = [device.array(values, exact=True) for values in (logits, heat, top_p, numbers)]
        found.append(device.draw(*there[:3], there[3][:, 2]).tolist())
    assert found[0] == found[1]


def test_packed_experts_rule_out_graphs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a card")
    monkeypatch.setattr(TorchDevice, "experts", lambda self, matrices: matrices)
    device = ops.TritonCudaDevice("float32")
    assert device.graphs
    device.experts("packed")
    assert not device.graphs


def test_packed_experts_stay_where_they_were(devices, monkeypatch):
    asked = []
    monkeypatch.setattr(TorchDevice, "expert_linear", lambda self, x, weight, ids: asked.append(weight))
    packed = object()
    devices[0].expert_linear(torch.zeros(1, 1, 8), packed, torch.zeros(1, 1, dtype=torch.int64))
    assert asked == [packed]


def noise(device: TorchDevice, *shape: int) -> torch.Tensor:
    return device.array(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32))


def test_rows_with_other_rules_and_without_a_choice(devices):
    """Greedy rows, drawn ones, and one that has nothing to choose."""
    numbers = np.random.default_rng(5)
    allowed = numbers.random((4, 90)) < 0.5
    allowed[0] = True
    rules, heat = np.array([0, 1, 3, 2, 1, 2]), np.array([0, 0.5, 2, 0, 1, 1], np.float32)
    values, uniforms = numbers.normal(size=(6, 90)).astype(np.float32), numbers.random(6).astype(np.float32)
    values[5, allowed[2]] = -np.inf
    found = []
    for device in devices:
        logits, temperature, number = (device.array(each, exact=True) for each in (values, heat, uniforms))
        tables = device.array(allowed), device.array(rules)
        for settings in (None, (temperature, temperature * 0 + 0.9, number)):
            found.append(device.sample(logits, *tables, settings).tolist())
    assert found[:2] == found[2:]
    assert [found[0][i] == found[1][i] for i in (0, 2, 3)] == [True, False, True]
    assert found[0][5] == found[1][5] == -1


def test_a_drawn_number_is_a_bin_whatever_the_logits_are(devices):
    broken = torch.full((1, 8), float("nan"))
    for device in devices:
        there = [device.array(each.numpy(), exact=True) for each in (broken, *(torch.ones(3, 1) * 0.5))]
        assert 0 <= device.draw(*there).item() < 8


@pytest.mark.parametrize("batch", [3, 1], ids=["a step", "a prompt"])
def test_adapters_of_the_rows(devices, batch):
    """Rows of a step have a slot each, those of a prompt one together."""
    found = []
    for device in devices:
        slots = device.array(np.array([2, 0, 1])[:batch])
        pair, pairs = (
            [noise(device, *shape) for shape in shapes]
            for shapes in (((3, 6, 2), (3, 2, 10)), ((3, 4, 2, 6), (3, 4, 10, 2)))
        )
        for matrices in (*pair, *pairs):
            matrices[0] = 0
        y, x = noise(device, batch, 3 // batch, 10), noise(device, batch, 3 // batch, 6)
        found.append(device.lora(y, x, *pair, slots))
        ids = device.array(np.array([[0, 2], [3, 1], [2, 0]]))
        y, x = noise(device, 3, 2, 10), noise(device, 3, 1, 6)
        found.append(device.expert_lora(y, x, *pairs, slots, ids))
    for one, other in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("family", "adapter"), [("checkpoint", None), ("mixture", 1)])
def test_a_model_answers_the_same(devices, family, adapter, request):
    """A prompt with an image, one of text and one behind a shared prefix, then a step under rules."""
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    rules, answers, logits = [Rule(suppressed=frozenset({0})), Rule(allowed=frozenset(range(90, 99)))], [], []
    for device in devices:
        model = load_model(request.getfixturevalue(family), device)
        shown, span = ImageKey("a", model.config.image_tokens), model.config.image_tokens + 12
        limits = Limits(
            max_batch=3, rows=5, max_seq=span, vocab=model.config.text.vocab_size, n_pages=4 * span
        )
        program = model.batched(limits)
        if adapter:
            program.load_adapter(adapter, random_adapter(model))
        pages = np.random.default_rng(1).permutation(4 * span - 1)[: 3 * span] + 1
        program.table.host[1:4] = pages.reshape(3, span)
        prompt = [0, shown, 30, 40]
        program.table.host[3, : shown.positions + 1] = program.table.host[1, : shown.positions + 1]
        program.table.upload()
        for index, rule in enumerate(rules, 1):
            program.set_rule(index, rule)
        program.upload_rules()
        of = adapter or 0
        prompts = [Prefill(1, of, prompt, 0, (model.crop(image),)), Prefill(2, of, [0, 50], 0)]
        rows, applied, positions = (
            device.array(np.array(each))
            for each in ([1, 2, 3], [1, 2, 0], [shown.positions + 3, 2, shown.positions + 2])
        )
        slots = device.array(np.array([of, 0, of])) if of else None
        heat = device.array(np.array([0, 1, 1], np.float32), exact=True)
        draw = Draw(heat, heat * 0 + 0.9, device.array(np.full((3, 4), 0.6, np.float32), exact=True))
        with device.inference():
            read = [program.prefill(prompts), program.prefill([Prefill(3, of, [0, shown, 60], 2)])]
            features = Features(*(torch.cat([getattr(one, f) for one in read]) for f in ("hidden", "logits")))
            for step in range(2):
                logits.append(features.logits.cpu())
                answers.append(program.choose(rows, features, applied, draw, numbers=True).picked.tolist())
                features = program.decode(Feeds(rows, positions + step, slots, limits.max_seq))
    for step in range(2):
        torch.testing.assert_close(logits[step], logits[2 + step], atol=1e-4, rtol=1e-4)
        assert answers[step] == answers[2 + step]


def random_adapter(model: Any) -> Adapter:
    """Rank 2, for the perceptrons or experts of every block, and for the attention."""
    device, blocks = model.device, []
    for block in model.weights.text.blocks:
        out, into = block.qkv.weight.shape
        sites: dict[Any, Any] = {"qkv": LowRank(noise(device, into, 2) * 0.1, noise(device, 2, out))}
        for site in ("fc1", "fc2"):
            linear = getattr(block.mlp, site)
            if hasattr(block.mlp, "router"):
                experts, out, into = linear.shape
                pair = noise(device, experts, 2, into) * 0.1, noise(device, experts, out, 2)
                sites[site] = ExpertLowRank(*pair)
            else:
                out, into = linear.weight.shape
                sites[site] = LowRank(noise(device, into, 2) * 0.1, noise(device, 2, out))
        blocks.append(sites)
    return Adapter("", blocks, 0)


@pytest.mark.parametrize(
    ("installed", "capability", "kind"),
    [(True, (8, 0), "Triton"), (True, (7, 5), "Cuda"), (False, (9, 0), "Cuda")],
)
def test_which_cards_have_kernels(installed, capability, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: installed or None)
    device = cuda.open_cuda("float32")
    assert device.name == "cuda (a card)"
    assert isinstance(device, ops.TritonCudaDevice if kind == "Triton" else cuda.CudaDevice)
    assert isinstance(device, ops.TritonOps) == device.graphs == (kind == "Triton")
