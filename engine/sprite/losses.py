"""What one training step is scored by: language, regions, and dense labels that only training has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamscope.engine.sprite.batch import Batch, PatchLabels, attention_bias, patches
from dreamscope.engine.sprite.network import Network, Weights
from dreamscope.engine.sprite.vocabulary import BINS, COORD, SIZE
from dreamscope.engine.sprite.world import COLOUR_WORDS

_BALANCE = 0.01
"""Weight of the even use of the experts: enough to keep all in use, too little to decide where a row goes."""
_DENSE_ROWS = 96
"""Object patches per step that the region decoders are applied to."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, for the progress line."""

    language: Tensor
    coords: Tensor
    extents: Tensor
    dense: Tensor
    patch_accuracy: Tensor
    balance: Tensor  # mean over the mixtures, 1 = even; 0 without any
    least_used: Tensor  # the worst of all experts, relative to even use; 1 without any

    def total(self, dense_weight: float) -> Tensor:
        """The weighted sum that is minimised."""
        regions = 0.6 * self.coords + 0.3 * self.extents
        return self.language + regions + dense_weight * self.dense + _BALANCE * self.balance


def initial_heads(vision_dim: int, dim: int, classes: int, seed: int) -> Weights:
    """Weights of the heads that only training has; they are dropped at export."""
    draw = torch.Generator().manual_seed(seed + 1)
    outputs = 1 + classes + len(COLOUR_WORDS) + 4
    return {
        "aux.patch.weight": torch.randn(outputs, vision_dim, generator=draw) * vision_dim**-0.5,
        "aux.patch.bias": torch.zeros(outputs),
        "aux.quantity": 0.1 * torch.randn(3, dim, generator=draw),
    }


def score(net: Network, batch: Batch, words: Tensor, sigma: float) -> Terms:
    """All loss terms of one batch. `words` holds the token id of each class name [classes]."""
    dtype = net.weights["text.wte"].dtype
    cut = patches(batch.pixels, net.sizes.patch, net.sizes.conventions.rounds_pixels)
    features = net.vision(cut.to(dtype))
    image = net.project(features)
    inputs, positions = embed_row(net, batch, image)
    prefix = net.sizes.prefix
    hidden = net.text(inputs, positions, attention_bias(batch.group, prefix, dtype))
    answer = hidden[:, prefix:]
    language, coords, extents = _answer_losses(net, batch, answer[:, :-1], sigma)
    seen = hidden[:, 1:prefix]
    dense, accuracy = _patch_losses(net, batch.labels, features, image, words)
    dense = dense + _dense_regions(net, batch.labels, seen, sigma)
    return Terms(language, coords, extents, dense, accuracy, *_evenness(net))


def _evenness(net: Network) -> tuple[Tensor, Tensor]:
    if not net.routing:
        return torch.zeros(()), torch.ones(())
    balance = torch.stack([routing.balance for routing in net.routing]).mean()
    return balance, torch.stack([routing.least for routing in net.routing]).min()


def embed_row(net: Network, batch: Batch, image: Tensor) -> tuple[Tensor, Tensor]:
    """Input embeddings [T, prefix + A, dim] and positions of the packed rows; `image` [>= T, grid², dim]."""
    texts, prefix = len(batch.ids), net.sizes.prefix
    start = net.weights["text.wte"][:1].expand(texts, 1, -1)
    positions = torch.cat([torch.arange(prefix).expand(texts, prefix), batch.positions], 1)
    return torch.cat([start, image[:texts], _embed(net, batch)], 1), positions


def _embed(net: Network, batch: Batch) -> Tensor:
    """Input embeddings of the answer side: words, and encoded coordinates and sizes in their rows."""
    x = F.embedding(batch.ids, net.weights["text.wte"])
    is_coord, is_size = batch.ids == COORD, batch.ids == SIZE
    places = batch.coords[is_coord] / net.sizes.conventions.coord_steps
    x = x.masked_scatter(is_coord[..., None], net.encode_coord(places))
    sizes = 2.0 ** (batch.extents[is_size] / (BINS - 1) * 10 - 10)
    return x.masked_scatter(is_size[..., None], net.encode_size(sizes))


def _answer_losses(net: Network, batch: Batch, hidden: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    weight, target = batch.weight[:, :-1], batch.ids[:, 1:]
    chosen = weight > 0
    token_loss = F.cross_entropy(net.logits(hidden[chosen]).float(), target[chosen], reduction="none")
    language = (token_loss * weight[chosen]).sum() / weight.sum()
    at_coord = chosen & (target == COORD)
    coords = soft_bins(net.coord_logits(hidden[at_coord]), batch.coords[:, 1:][at_coord], sigma)
    at_size = chosen & (target == SIZE)
    extents = soft_bins(net.size_logits(hidden[at_size]), batch.extents[:, 1:][at_size], sigma)
    return language, coords, extents


def soft_bins(logits: Tensor, target: Tensor, sigma: float) -> Tensor:
    """Cross-entropy [.., 1024] against a Gaussian of `sigma` bins around the true bin."""
    if target.numel() == 0:
        return logits.sum() * 0
    distance = torch.arange(BINS) - target[..., None]
    wanted = torch.exp(-0.5 * (distance / sigma) ** 2)
    wanted = wanted / wanted.sum(-1, keepdim=True)
    return -(wanted * logits.float().log_softmax(-1)).sum(-1).mean()


def _patch_losses(
    net: Network, labels: PatchLabels, features: Tensor, image: Tensor, words: Tensor
) -> tuple[Tensor, Tensor]:
    """Class, colour and box of each patch from the encoder; the class word from the image embedding."""
    classes = len(words) + 1
    out = F.linear(features, net.weights["aux.patch.weight"], net.weights["aux.patch.bias"]).float()
    kind, colour, box = out.split([classes, len(COLOUR_WORDS), 4], -1)
    balance = torch.ones(classes)
    balance[0] = 0.25
    loss = F.cross_entropy(kind.flatten(0, 1), labels.kind.flatten(), weight=balance)
    on_object = labels.kind > 0
    if not on_object.any():
        return loss, torch.zeros(())
    loss = loss + 4 * (box[on_object].sigmoid() - labels.box[on_object]).abs().mean()
    painted = labels.colour >= 0
    if painted.any():
        loss = loss + 0.3 * F.cross_entropy(colour[painted], labels.colour[painted])
    # Word alignment: "find the patches of this word" becomes a same-vector match.
    unit = F.layer_norm(image[on_object], image.shape[-1:])
    alignment = (unit @ net.weights["text.wte"].T).float() * image.shape[-1] ** -0.5
    loss = loss + 0.3 * F.cross_entropy(alignment, words[labels.kind[on_object] - 1])
    accuracy = (kind[on_object].argmax(-1) == labels.kind[on_object]).float().mean()
    return loss, accuracy.detach()


def _dense_regions(net: Network, labels: PatchLabels, hidden: Tensor, sigma: float) -> Tensor:
    """The region decoders on object patches, so that their bins are learned before pointing works."""
    on_object = labels.kind[: len(hidden)] > 0
    rows = hidden[on_object]
    if len(rows) == 0:
        return hidden.sum() * 0
    stride = max(1, len(rows) // _DENSE_ROWS)
    rows, bins = rows[::stride], labels.bins[: len(hidden)][on_object][::stride]
    x, y, extent = net.weights["aux.quantity"].unbind(0)
    places = net.coord_logits(torch.cat([rows + x, rows + y]))
    loss = soft_bins(places, torch.cat([bins[:, 0], bins[:, 1]]), sigma)
    return 0.25 * loss + 0.15 * soft_bins(net.size_logits(rows + extent), bins[:, 2:], sigma)
