"""The operations that have a Triton kernel. Importing this imports Triton."""

from __future__ import annotations

import torch

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.base import Matrices, Rotation
from dreamscope.engine.devices.cuda import CudaDevice
from dreamscope.engine.devices.kernels import lora, moe, sample
from dreamscope.engine.devices.kernels.paged_attention import paged_attention, prefix_attention
from dreamscope.engine.devices.kernels.rope_write import rope_write
from dreamscope.engine.devices.torch_ops import TorchDevice


class TritonOps(TorchDevice):
    """`TorchDevice` with kernels where PyTorch copies pages or matrices, asks who chose what, or sorts."""

    def paged_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Reads the pages where they lie."""
        return paged_attention(q, k, v, table, lengths)

    def prefix_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, block: int
    ) -> torch.Tensor:
        """The same, and without a mask."""
        return prefix_attention(q, k, v, table, block)

    def rotate_store(
        self,
        heads: torch.Tensor,
        values: torch.Tensor,
        rotation: Rotation,
        pages: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """In place."""
        return rope_write(heads, values, rotation, pages, k, v), k, v

    def lora(
        self, y: torch.Tensor, x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """In place. Many rows of one slot share a copy of its matrices instead."""
        if x.shape[1] > 1:
            return super().lora(y, x, down, up, slots)
        lora.lora(x[:, 0], down.mT, up.mT, slots, y[:, 0])
        return y

    def expert_lora(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        slots: torch.Tensor,
        ids: torch.Tensor,
    ) -> torch.Tensor:
        """In place. Many rows of one slot are grouped by expert instead."""
        if len(ids) > len(slots):
            return super().expert_lora(y, x, a, b, slots, ids)
        return lora.expert_lora(x, a[1:].flatten(0, 1), b[1:].flatten(0, 1), slots, ids, a.shape[1], y)

    def expert_linear(
        self, x: torch.Tensor, weight: torch.Tensor | torch_experts.Packed, ids: torch.Tensor
    ) -> torch.Tensor:
        """Plain matrices by the kernel; packed ones as ever."""
        if isinstance(weight, torch.Tensor):
            return moe.expert_linear(x, weight, ids)
        return super().expert_linear(x, weight, ids)

    def draw(
        self, logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, uniforms: torch.Tensor
    ) -> torch.Tensor:
        """Without sorting."""
        no_rule = torch.zeros(len(logits), dtype=torch.int32, device=logits.device)
        no_masks = torch.empty((1, 1), dtype=torch.bool, device=logits.device)
        return sample.sample(logits, no_masks, no_rule, temperature, top_p, uniforms).clamp(min=0)

    def sample(
        self,
        logits: torch.Tensor,
        allowed: torch.Tensor,
        rules: torch.Tensor,
        settings: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """Mask and draw at once."""
        if settings is None:
            greedy = torch.zeros(len(logits), dtype=torch.float32, device=logits.device)
            settings = greedy, greedy, greedy
        return sample.sample(logits, allowed, rules, *settings)


class TritonCudaDevice(TritonOps, CudaDevice):
    """A card with kernels."""

    graphs = True

    def experts(self, matrices: Matrices) -> torch_experts.Packed:
        """Packed: products with them ask the host which experts are in use."""
        self.graphs = False
        return super().experts(matrices)
