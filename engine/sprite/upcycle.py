"""From a trained Sprite 2 to the first weights of a Sprite 3.

What both have is taken over. The perceptron of a text block that becomes a mixture is taken apart: positions
are clustered, each cluster gets a pair of experts with the hidden units that matter most to it, and the
second matrix of the pair is fitted to what the whole perceptron put out. Tau starts as the identity, the
region decoders start anew.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamscope.engine.sprite.batch import Batch, Batcher, attention_bias, patches
from dreamscope.engine.sprite.export import load_tokenizer, mean_weights
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.losses import embed_row, initial_heads
from dreamscope.engine.sprite.network import Network, Weights
from dreamscope.engine.sprite.recipe import SPRITE_2, Mixture, Recipe, Sizes
from dreamscope.engine.sprite.vocabulary import PairEncoder, with_path_numbers

_BATCHES = 12
_RIDGE = 1e-3


def warm_start(source: Path, directory: Path, recipe: Recipe) -> None:
    """Write `start.pt` and the tokenizer of a new run in `directory` from the run in `source`.

    A Sprite 3 goes on as it is, a Sprite 2 is turned into one. Raises `FileNotFoundError` if `source` holds
    no checkpoint.
    """
    dense = mean_weights(source)
    if dense is None:
        raise FileNotFoundError(f"{source} holds no checkpoint (rank0.pt …).")
    if "region.ln.weight" in dense:
        torch.save(dense, directory / "start.pt")
        shutil.copy(source / "tokenizer.json", directory / "tokenizer.json")
        return
    tokenizer = load_tokenizer(source / "tokenizer.json")
    before = dataclasses.replace(SPRITE_2, seed=recipe.seed + 1)
    batches = Batcher(before, PairEncoder(tokenizer), 0)
    drawn = [batches.draw(step, before.images) for step in range(_BATCHES)]
    weights = upcycle(dense, before.sizes, recipe, drawn)
    torch.save(weights, directory / "start.pt")
    with_path_numbers(tokenizer).save(str(directory / "tokenizer.json"))


def upcycle(dense: Weights, before: Sizes, recipe: Recipe, batches: list[Batch]) -> Weights:
    """Weights of the recipe's sizes from those of the dense `before`, fitted on what `batches` show."""
    sizes, mixture = recipe.sizes, recipe.sizes.mixture
    assert mixture is not None
    weights = initial_weights(sizes, recipe.seed)
    weights |= initial_heads(sizes.vision_dim, sizes.dim, len(recipe.classes), recipe.seed)
    for name, old in dense.items():
        if name in weights and weights[name].shape == old.shape:
            weights[name] = old.clone()
    for name in ("text.wte", "text.lm_head.weight", "text.lm_head.bias"):
        known = len(dense[name])
        weights[name][known:] *= dense[name].std() / weights[name].std().clamp_min(1e-6)
        weights[name][:known] = dense[name]
    inputs = _perceptron_inputs(dense, before, batches)
    for layer in range(mixture.start, sizes.layers):
        block = f"text.blocks.{layer}"
        weights |= _split(dense, f"{block}.mlp", inputs[layer], mixture, recipe.seed)
        weights[f"{block}.attn.proj.bias"] += dense[f"{block}.mlp.fc2.bias"]  # both add to the stream
    return weights


class _Recorder(Network):
    """A network that keeps what the perceptrons of the text blocks read."""

    def __init__(self, sizes: Sizes, weights: Weights) -> None:
        super().__init__(sizes, weights, tanh=False)
        self.inputs: list[Tensor] = []

    def _perceptron(self, layer: int, x: Tensor) -> Tensor:
        self.inputs.append(x)
        return super()._perceptron(layer, x)


def _perceptron_inputs(dense: Weights, sizes: Sizes, batches: list[Batch]) -> list[Tensor]:
    """Per layer [N, dim]: the normed input of every position that is no padding."""
    layers: list[list[Tensor]] = [[] for _ in range(sizes.layers)]
    for batch in batches:
        net = _Recorder(sizes, dense)
        texts = len(batch.ids)
        features = net.vision(patches(batch.pixels[:texts], sizes.patch).float())
        x, positions = embed_row(net, batch, net.project(features))
        net.text(x, positions, attention_bias(batch.group, sizes.prefix, x.dtype))
        real = torch.cat([torch.ones(texts, sizes.prefix, dtype=torch.bool), batch.group >= 0], 1)
        for rows, seen in zip(layers, net.inputs, strict=True):
            rows.append(seen[real])
    return [torch.cat(rows) for rows in layers]


def _split(dense: Weights, name: str, x: Tensor, mixture: Mixture, seed: int) -> Weights:
    """Router and experts that stand for the perceptron `name` on inputs like `x` [N, dim]."""
    assert mixture.active == 2
    up, bias, down = (dense[f"{name}.{part}"] for part in ("fc1.weight", "fc1.bias", "fc2.weight"))
    wanted = F.gelu(x @ up.T + bias) @ down.T
    # Experts have no biases: the direction whose product with every input is nearest to one carries them.
    constant = _ridge(x, torch.ones(len(x), 1))[:, 0]
    up = up + bias[:, None] * constant
    hidden = F.gelu(x @ up.T)
    clusters = mixture.experts // 2
    centres, mine = _cluster(x, clusters, seed)
    fc1 = torch.zeros(mixture.experts, 2 * mixture.inner, x.shape[1])
    fc2 = torch.zeros(mixture.experts, x.shape[1], mixture.inner)
    for cluster in range(clusters):
        rows = hidden[mine == cluster]
        weight = rows.std(0) * down.norm(dim=0)
        best = weight.argsort(descending=True)[: 2 * mixture.inner]
        fitted = _ridge(rows[:, best], wanted[mine == cluster]).T
        for half in (0, 1):
            expert, units = cluster + half * clusters, slice(half, None, 2)
            fc1[expert, : mixture.inner] = up[best[units]]
            fc2[expert] = 2 * fitted[:, units]  # both experts of the pair count half
    # The nearest centre has the largest score; the two experts of a cluster score alike.
    router, offset = centres, -0.5 * centres.square().sum(1)
    scale = 1 / (x @ router.T + offset).std(1).mean()
    return {
        f"{name}.router.weight": scale * torch.cat([router, router]),
        f"{name}.router.bias": scale * torch.cat([offset, offset]),
        f"{name}.fc1.weight": fc1,
        f"{name}.fc2.weight": fc2,
    }


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """[D, M] that brings x [N, D] nearest to y [N, M]."""
    gram = x.T @ x
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, x.T @ y)


def _cluster(x: Tensor, count: int, seed: int, rounds: int = 20) -> tuple[Tensor, Tensor]:
    """k-means: centres [count, D] and the nearest one of each row [N]."""
    draw = torch.Generator().manual_seed(seed)
    centres = x[torch.randperm(len(x), generator=draw)[:count]]
    for _ in range(rounds):
        mine = torch.cdist(x, centres).argmin(1)
        centres = torch.stack([x[mine == cluster].mean(0) for cluster in range(count)])
    return centres, torch.cdist(x, centres).argmin(1)
