"""The operations that have a Triton kernel. Importing this imports Triton."""

from __future__ import annotations

import torch

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.base import Matrices
from dreamscope.engine.devices.cuda import CudaDevice
from dreamscope.engine.devices.kernels import moe, sample
from dreamscope.engine.devices.kernels.paged_attention import paged_attention
from dreamscope.engine.devices.torch_ops import TorchDevice


class TritonOps(TorchDevice):
    """`TorchDevice` with kernels where PyTorch copies pages, asks the host for experts, or sorts."""

    def paged_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Reads the pages where they lie."""
        return paged_attention(q, k, v, table, lengths)

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
        return sample.sample(logits, no_masks, no_rule, temperature, top_p, uniforms)


class TritonCudaDevice(TritonOps, CudaDevice):
    """A card with kernels."""

    graphs = True

    def experts(self, matrices: Matrices) -> torch_experts.Packed:
        """Packed: products with them ask the host which experts are in use."""
        self.graphs = False
        return super().experts(matrices)
