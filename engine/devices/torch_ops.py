"""The device operations in PyTorch, shared by CPU and CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dreamscope.engine.devices.base import DType, Stored

LAYER_NORM_EPS = 1e-5
TORCH_DTYPES: dict[DType, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TorchDevice:
    """`Device` over torch tensors; see `base.py` for what each operation means."""

    def __init__(self, name: str, dtype: DType, place: torch.device) -> None:
        self.name = name
        self.dtype: DType = dtype
        self._place = place
        self._dtype = TORCH_DTYPES[dtype]

    def weight(self, raw: NDArray[Any], stored: Stored) -> torch.Tensor:
        """Copy a stored parameter into the compute dtype."""
        host = torch.from_numpy(np.array(raw))  # own, writable memory: the source may be a read-only map
        if stored == "BF16":
            host = host.view(torch.bfloat16)
        return host.to(self._place, self._dtype)

    def array(self, values: NDArray[Any], exact: bool = False) -> torch.Tensor:
        """Copy host values."""
        host = torch.tensor(values)
        if host.is_floating_point():
            return host.to(self._place, torch.float32 if exact else self._dtype)
        return host.to(self._place, torch.bool if host.dtype == torch.bool else torch.int64)

    def zeros(self, shape: Sequence[int]) -> torch.Tensor:
        """Zeros in the compute dtype."""
        return torch.zeros(tuple(shape), dtype=self._dtype, device=self._place)

    def numpy(self, x: torch.Tensor) -> NDArray[np.float32]:
        """Host copy in float32."""
        host: NDArray[np.float32] = x.detach().float().cpu().numpy()
        return host

    def reshape(self, x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """View where possible."""
        return x.reshape(shape)

    def permute(self, x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
        """A view."""
        return x.permute(*axes)

    def split(self, x: torch.Tensor, sizes: Sequence[int], axis: int) -> Sequence[torch.Tensor]:
        """Views."""
        return x.split_with_sizes(sizes, axis)  # type: ignore[arg-type]

    def concat(self, parts: Sequence[torch.Tensor], axis: int) -> torch.Tensor:
        """Join along an existing axis."""
        return torch.cat(list(parts), axis)

    def take(self, x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
        """Gather along one axis."""
        if axis == x.ndim - 1:  # where index_select takes two to four times as long on the CPU
            return torch.gather(x, axis, indices.expand(*x.shape[:-1], -1))
        return x.index_select(axis, indices)

    def write(self, buffer: torch.Tensor, rows: torch.Tensor, start: int) -> torch.Tensor:
        """In place."""
        buffer[:, :, start : start + rows.shape[2]] = rows
        return buffer

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """`x @ weight^T + bias`."""
        return F.linear(x, weight, bias)

    def matmul(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Matrix product over the last two axes."""
        return torch.matmul(a, b)

    def layer_norm(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Over the last axis."""
        return torch.layer_norm(x, weight.shape, weight, bias, LAYER_NORM_EPS)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        """Tanh approximation."""
        return F.gelu(x, approximate="tanh")

    def gelu_exact(self, x: torch.Tensor) -> torch.Tensor:
        """With the error function."""
        return F.gelu(x)

    def tanh(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise hyperbolic tangent."""
        return torch.tanh(x)

    def top_weights(self, scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Selection and softmax in float32."""
        best, ids = scores.float().topk(k, dim=-1)
        return ids, best.softmax(-1).to(self._dtype)

    def expert_linear(self, x: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """One product per expert in use, with all the rows that chose it: no copy of any weight."""
        rows, k = ids.shape
        flat = x.expand(rows, k, x.shape[2]).reshape(rows * k, x.shape[2])
        chosen = ids.reshape(-1)
        out = flat.new_empty((rows * k, weight.shape[1]))
        if rows == 1:  # a decode step: every place has an expert of its own
            for place, expert in enumerate(chosen.tolist()):
                torch.mv(weight[expert], flat[place], out=out[place])
        else:
            order = chosen.argsort()
            sizes = torch.bincount(chosen, minlength=weight.shape[0]).tolist()
            for expert, places in enumerate(order.split(sizes)):
                if len(places):
                    out[places] = F.linear(flat[places], weight[expert])
        return out.reshape(rows, k, weight.shape[1])

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Scaled dot-product attention with grouped key heads."""
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)

    def cos(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise cosine."""
        return torch.cos(x)

    def sin(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise sine."""
        return torch.sin(x)

    def widen(self, x: torch.Tensor) -> torch.Tensor:
        """As float32."""
        return x.float()

    def narrow(self, x: torch.Tensor) -> torch.Tensor:
        """As the compute dtype."""
        return x.to(self._dtype)

    def inference(self) -> AbstractContextManager[object]:
        """Without autograd, view tracking and version counters."""
        return torch.inference_mode()

    def free_memory(self) -> int | None:
        """Unknown here; each place knows its own."""
        return None

    def synchronize(self, *results: torch.Tensor) -> None:
        """Nothing runs behind the caller's back on the CPU."""
