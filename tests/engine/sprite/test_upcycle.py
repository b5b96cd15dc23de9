from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tokenizers
import torch

from dreamscope.engine.sprite.batch import Batch, Batcher, attention_bias
from dreamscope.engine.sprite.export import load_tokenizer
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.losses import initial_heads
from dreamscope.engine.sprite.network import Network, Weights
from dreamscope.engine.sprite.recipe import Mixture, Recipe, Sizes
from dreamscope.engine.sprite.train import Trainer
from dreamscope.engine.sprite.upcycle import upcycle, warm_start
from dreamscope.engine.sprite.vocabulary import PairEncoder


@pytest.fixture(scope="module")
def dense(sizes: Sizes, recipe: Recipe) -> Weights:
    """A dense Sprite whose biases are not zero."""
    draw = torch.Generator().manual_seed(3)
    start = initial_weights(sizes, 0)
    start |= initial_heads(sizes.vision_dim, sizes.dim, len(recipe.classes), 0)
    return {name: w + 0.03 * torch.randn(w.shape, generator=draw) for name, w in start.items()}


@pytest.fixture(scope="module")
def batches(recipe: Recipe, encoder: PairEncoder) -> list[Batch]:
    drawn = Batcher(dataclasses.replace(recipe, vision_batch=6, text_batch=6), encoder, 0)
    return [drawn.draw(step, 10**9) for step in range(2)]


@pytest.fixture(scope="module")
def target(sizes: Sizes, recipe: Recipe) -> Recipe:
    """Two pairs of experts, each with three quarters of the 192 hidden units."""
    mixture = Mixture(experts=4, active=2, inner=72, start=1)
    return dataclasses.replace(
        recipe, sizes=dataclasses.replace(sizes, vocabulary=1072, mixture=mixture), seed=9
    )


@pytest.fixture(scope="module")
def warm(dense: Weights, sizes: Sizes, target: Recipe, batches: list[Batch]) -> Weights:
    return upcycle(dense, sizes, target, batches)


def _hidden(sizes: Sizes, weights: Weights, x: torch.Tensor) -> torch.Tensor:
    length = x.shape[1]
    prefix = sizes.prefix
    group = torch.zeros(len(x), length - prefix, dtype=torch.long)
    positions = torch.arange(length).expand(len(x), length)
    return Network(sizes, weights, tanh=False).text(x, positions, attention_bias(group, prefix, x.dtype))


def test_the_mixture_says_nearly_what_the_perceptron_said(
    warm: Weights, dense: Weights, sizes: Sizes, target: Recipe
) -> None:
    """Against weights of the same sizes that know nothing."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(21, 1024, (4, sizes.prefix + 12), generator=draw)
    x = dense["text.wte"][ids]
    wanted = _hidden(sizes, dense, x) - x
    blank = dict(warm)
    fresh = initial_weights(target.sizes, 1)
    blank |= {name: w for name, w in fresh.items() if "blocks.1.mlp" in name and name.startswith("text")}
    near, far = (
        float((_hidden(target.sizes, weights, x) - x - wanted).norm() / wanted.norm())
        for weights in (warm, blank)
    )
    assert near < 0.35
    assert near < 0.6 * far


def test_every_expert_is_used(warm: Weights, target: Recipe, dense: Weights) -> None:
    net = Network(target.sizes, warm, tanh=False)
    x = dense["text.wte"][torch.arange(30, 30 + target.sizes.prefix + 40)][None]
    group = torch.zeros(1, 40, dtype=torch.long)
    net.text(x, torch.arange(x.shape[1])[None], attention_bias(group, target.sizes.prefix, x.dtype))
    (routing,) = net.routing
    assert float(routing.balance.detach()) < 2.0  # the two experts of one cluster taking all would be 2


def test_what_both_have_is_taken_over(warm: Weights, dense: Weights, target: Recipe) -> None:
    shapes = {name: tuple(w.shape) for name, w in initial_weights(target.sizes, 0).items()}
    heads = {name for name in dense if name.startswith("aux.")}
    assert {name: tuple(w.shape) for name, w in warm.items() if name not in heads} == shapes
    for name in ("vision.pos_emb", "text.blocks.0.mlp.fc1.weight", "text.blocks.1.attn.qkv.weight", *heads):
        assert torch.equal(warm[name], dense[name])
    assert torch.equal(warm["text.wte"][:1024], dense["text.wte"])
    spread = float(warm["text.wte"][1024:].std() / dense["text.wte"].std())
    assert spread == pytest.approx(1.0, abs=0.1)
    offset = warm["text.blocks.1.attn.proj.bias"] - dense["text.blocks.1.attn.proj.bias"]
    torch.testing.assert_close(offset, dense["text.blocks.1.mlp.fc2.bias"])


def test_a_run_starts_from_the_weights_of_another(
    dense: Weights, sizes: Sizes, target: Recipe, raw_tokenizer: tokenizers.Tokenizer, tmp_path: Path,
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("dreamscope.engine.sprite.upcycle.SPRITE_2", recipe)
    source, directory = tmp_path / "dense", tmp_path / "run"
    for folder in (source, directory):
        folder.mkdir()
    torch.save({"weights": dense, "optimizer": {}, "step": 4}, source / "rank0.pt")
    raw_tokenizer.save(str(source / "tokenizer.json"))
    warm_start(source, directory, target)
    assert len(load_tokenizer(directory / "tokenizer.json").encode(" 480").ids) == 1
    trainer = Trainer(target, directory, rank=0)
    assert trainer.step == 0
    assert torch.equal(trainer.weights["vision.pos_emb"], dense["vision.pos_emb"])
    trainer.advance()
    trainer.save()
    resumed = Trainer(target, directory, rank=0)
    assert resumed.step == 1
    assert torch.equal(resumed.weights["text.wte"], trainer.weights["text.wte"])


def test_a_sprite_3_goes_on_as_it_is(
    warm: Weights, target: Recipe, raw_tokenizer3: tokenizers.Tokenizer, tmp_path: Path
) -> None:
    source, directory = tmp_path / "first", tmp_path / "second"
    for folder in (source, directory):
        folder.mkdir()
    torch.save({"weights": warm, "optimizer": {}, "step": 4}, source / "rank0.pt")
    raw_tokenizer3.save(str(source / "tokenizer.json"))
    warm_start(source, directory, target)
    trainer = Trainer(target, directory, rank=0)
    assert trainer.step == 0
    assert all(torch.equal(trainer.weights[name], weight) for name, weight in warm.items())


def test_a_source_without_a_checkpoint_is_refused(target: Recipe, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        warm_start(tmp_path, tmp_path, target)
