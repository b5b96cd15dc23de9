"""The head of the mask refiner against the same layers in plain PyTorch, with random numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.models.config import VisionConfig
from dreamscope.engine.models.moondream2.model import Moondream2
from dreamscope.engine.models.refiner import RefinerWeights, fuse, predict, refine_mask
from dreamscope.engine.weights.refiner import load_refiner

GRID, WIDTH, SIZE = 5, 12, 70
Head = dict[str, torch.Tensor]


class Plain:
    """The published head, picture and masks as `[1, C, H, W]`."""

    def __init__(self, head: Head) -> None:
        self.t = head
        self.dim = head["image_pe"].shape[1]

    def pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.t[f"{name}.weight"], self.t[f"{name}.bias"]

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, *self.pair(name))

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], *self.pair(name))

    def map_norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.norm(name, x.movedim(1, -1)).movedim(-1, 1)

    def grouped(self, name: str, groups: int, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(F.group_norm(x, groups, *self.pair(name)))

    def attention(self, name: str, heads: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        module = torch.nn.MultiheadAttention(q.shape[-1], heads, batch_first=True)
        part = {key[len(name) + 1 :]: value for key, value in self.t.items() if key.startswith(name + ".")}
        module.load_state_dict(part)
        return module(q[None], k[None], v[None])[0][0]

    def fuse(self, final: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        early = F.gelu(self.norm("hq_fusion.early_proj.1", self.linear("hq_fusion.early_proj.0", early)))
        final = F.conv2d(final.T.reshape(1, -1, GRID, GRID), *self.pair("image_proj"))
        x = torch.cat((early.T.reshape(1, -1, GRID, GRID), final), 1)
        x = self.grouped("hq_fusion.fusion.1", 32, F.conv2d(x, *self.pair("hq_fusion.fusion.0")))
        x = F.conv2d(x, *self.pair("hq_fusion.fusion.3"), padding=1)
        return self.grouped("hq_fusion.fusion.4", 32, x)

    def predict(self, picture: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = mask[None, None]
        for i, groups in enumerate((1, min(8, self.dim // 8), min(16, self.dim // 4), 32), 1):
            x = F.conv2d(x, *self.pair(f"mask_encoder.conv{i}.0"), stride=2, padding=1)
            x = self.grouped(f"mask_encoder.conv{i}.1", groups, x)
        x = picture + F.interpolate(x, (GRID, GRID), mode="bilinear", align_corners=False)
        rows, places = x[0].flatten(1).T, self.t["image_pe"][0].flatten(1).T
        tokens = torch.cat((self.t["mask_tokens"], self.t["iou_token"]))
        own = self.t["output_pe"]
        for i in range(sum(key.endswith("norm4.weight") for key in self.t)):
            at = f"transformer_blocks.{i}"
            seen = self.attention(f"{at}.output_self_attn", 8, tokens + own, tokens + own, tokens)
            tokens = self.norm(f"{at}.norm1", tokens + seen)
            seen = self.attention(f"{at}.cross_attn_token_to_image", 8, tokens + own, rows + places, rows)
            tokens = self.norm(f"{at}.norm2", tokens + seen)
            thought = self.linear(f"{at}.mlp.2", F.gelu(self.linear(f"{at}.mlp.0", tokens)))
            tokens = self.norm(f"{at}.norm3", tokens + thought)
            seen = self.attention(f"{at}.cross_attn_image_to_token", 8, rows + places, tokens + own, tokens)
            rows = self.norm(f"{at}.norm4", rows + seen)
        seen = self.attention("final_token_to_image", 8, tokens + own, rows + places, rows)
        tokens = self.norm("final_norm", tokens + seen)
        x = rows.T.reshape(1, -1, GRID, GRID)
        for i in (0, 6, 12):
            x = F.conv_transpose2d(x, *self.pair(f"upsample.{i}"), stride=2)
            x = F.gelu(self.map_norm(f"upsample.{i + 1}.norm", x))
            x = F.conv2d(x, *self.pair(f"upsample.{i + 3}"), padding=1)
            x = F.gelu(self.map_norm(f"upsample.{i + 4}.norm", x))
        pixels = x[0].flatten(1).T
        wanted = self.linear("final_q_proj", tokens[:-1])
        asked = self.norm("final_norm_up", wanted)
        wanted = wanted + self.attention("final_attn_up", 4, asked, pixels, pixels)
        looks = torch.stack([self.mlp(f"mask_mlps.{i}", row) for i, row in enumerate(wanted)])
        return torch.einsum("mc,chw->mhw", looks, x[0]), self.mlp("iou_head", tokens[-1])

    def mlp(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.linear(f"{name}.0", x))
        return self.linear(f"{name}.4", F.gelu(self.linear(f"{name}.2", x)))

    def refine(self, final: torch.Tensor, early: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        picture = self.fuse(final, early)
        for _ in range(5):
            masks, quality = self.predict(picture, mask)
            whole = F.interpolate(masks[None], mask.shape, mode="bilinear", align_corners=False)
            mask = torch.sigmoid(whole[0, int(quality.argmax())])
        return mask


@pytest.fixture
def head(random_head: Callable[..., Head]) -> Head:
    return random_head(GRID, WIDTH)


@pytest.fixture
def load(head: Head, tmp_path: Path) -> Callable[[Device], RefinerWeights]:
    save_file(head, tmp_path / "head.safetensors")
    vision = VisionConfig(enc_dim=WIDTH, crop_size=SIZE, enc_patch_size=SIZE // GRID)

    def make(device: Device) -> RefinerWeights:
        model: Any = SimpleNamespace(device=device, config=SimpleNamespace(vision=vision))
        return load_refiner(tmp_path / "head.safetensors", model)

    return make


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, GRID * GRID, WIDTH)).astype(np.float32)


@pytest.fixture
def mask() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (x - 30) ** 2 + (y - 41) ** 2 < 400


def test_one_step_is_that_of_plain_layers(
    load: Any, head: Head, device: Device, features: np.ndarray, mask: np.ndarray
) -> None:
    weights, plain = load(device), Plain(head)
    final, early = (device.array(each) for each in features)
    picture = fuse(device, weights, final, early)
    masks, quality = predict(device, weights, picture, device.array(mask.astype(np.float32)))
    with torch.no_grad():
        expected = plain.fuse(*torch.from_numpy(features))
        wanted, best = plain.predict(expected, torch.from_numpy(mask).float())
    np.testing.assert_allclose(device.numpy(picture), expected[0].movedim(0, -1), atol=1e-4)
    assert masks.shape == (3, 8 * GRID, 8 * GRID)
    np.testing.assert_allclose(device.numpy(masks), wanted, atol=1e-3)
    np.testing.assert_allclose(device.numpy(quality), best, atol=1e-4)


def test_five_steps_feed_the_best_mask_back(
    load: Any, head: Head, device: Device, features: np.ndarray, mask: np.ndarray
) -> None:
    final, early = (device.array(each) for each in features)
    better = refine_mask(device, load(device), final, early, mask)
    with torch.no_grad():
        wanted = Plain(head).refine(*torch.from_numpy(features), torch.from_numpy(mask).float()).numpy()
    assert better.shape == (SIZE, SIZE)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(better, wanted, atol=1e-3)


def test_half_precision_stays_near(
    load: Any, device_name: str, features: np.ndarray, mask: np.ndarray
) -> None:
    seen = []
    for dtype in ("float32", "bfloat16"):
        device = open_device(device_name, dtype)
        weights = load(device)
        picture = fuse(device, weights, *(device.array(each) for each in features))
        masks, _ = predict(device, weights, picture, device.array(mask.astype(np.float32)))
        seen.append(device.numpy(masks))
    np.testing.assert_allclose(seen[1], seen[0], atol=0.1 * np.abs(seen[0]).max())


def test_early_features_are_the_stream_after_a_block(model: Moondream2) -> None:
    """The last block and the last norm, applied to what the block before has left, give the final ones."""
    v = model.config.vision
    pixels = np.random.default_rng(0).integers(0, 256, (1, v.crop_size, v.crop_size, 3), np.uint8)
    plain = model.device.numpy(model.vision_features(pixels))
    final, last = model.final_and_early_features(pixels, v.enc_n_layers - 1)
    _, first = model.final_and_early_features(pixels, 0)
    post = model.weights.vision.post_ln
    np.testing.assert_array_equal(model.device.numpy(final), plain)
    normed = model.device.numpy(model.device.layer_norm(last, post.weight, post.bias))
    np.testing.assert_allclose(normed, plain, atol=1e-5)
    assert np.abs(model.device.numpy(first) - model.device.numpy(last)).max() > 1e-3
    with pytest.raises(ValueError, match="has 2 blocks, and no block 2"):
        model.final_and_early_features(pixels, 2)
