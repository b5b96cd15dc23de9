"""The device operations in PyTorch, shared by CPU and CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dreamscope.engine.devices import torch_experts
from dreamscope.engine.devices.base import DType, Int4Matrices, Matrices, Mirror, Quantised, Stored
from dreamscope.engine.devices.composed import ComposedOps
from dreamscope.engine.devices.torch_mirror import mirror_of

LAYER_NORM_EPS = 1e-5
_PORTION = 1 << 24
"""Bytes of a stored parameter that are copied at a time: what copying needs beside the result."""
TORCH_DTYPES: dict[DType, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TorchDevice(ComposedOps):
    """`Device` over torch tensors; see `base.py` for what each operation means."""

    keeps: frozenset[Quantised] = frozenset(("int4", "fp8"))

    def __init__(self, name: str, dtype: DType, place: torch.device) -> None:
        self.name = name
        self.dtype: DType = dtype
        self._place = place
        self._dtype = TORCH_DTYPES[dtype]

    def weight(self, raw: NDArray[Any], stored: Stored) -> torch.Tensor:
        """Copy a stored parameter into the compute dtype."""
        weight = torch.empty(raw.shape, dtype=self._dtype, device=self._place)
        rows = max(1, _PORTION * len(raw) // max(1, raw.nbytes))
        for first in range(0, len(raw), rows):
            portion = np.array(
                raw[first : first + rows]
            )  # own, writable memory: `raw` may be a read-only map
            host = torch.from_numpy(portion)
            weight[first : first + rows] = host.view(torch.bfloat16) if stored == "BF16" else host
        return weight

    def experts(self, matrices: Matrices) -> torch_experts.Packed:
        """Packed; made dense piece by piece when they are used."""
        return torch_experts.pack_experts(matrices, self._place)

    def packed_linear(self, matrix: Int4Matrices) -> torch.Tensor:
        """Raises `ValueError`: linears are dense here."""
        raise ValueError(f"{self.name} computes linears with dense matrices only.")

    def array(self, values: NDArray[Any], exact: bool = False) -> torch.Tensor:
        """Copy host values."""
        host = torch.tensor(values)
        if host.is_floating_point():
            return host.to(self._place, torch.float32 if exact else self._dtype)
        return host.to(self._place, torch.bool if host.dtype == torch.bool else torch.int64)

    def mirror(self, values: NDArray[Any]) -> Mirror:
        """Shared memory on the CPU."""
        return mirror_of(values, self._place)

    def zeros(self, shape: Sequence[int]) -> torch.Tensor:
        """Zeros in the compute dtype."""
        return torch.zeros(tuple(shape), dtype=self._dtype, device=self._place)

    def numpy(self, x: torch.Tensor | torch_experts.Packed) -> NDArray[np.float32]:
        """Host copy in float32."""
        if not isinstance(x, torch.Tensor):
            x = torch.stack([x.dense(expert, slice(None)) for expert in range(x.shape[0])])
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

    def store(self, buffer: torch.Tensor, indices: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """In place."""
        return buffer.index_copy_(0, indices, rows)

    def take_along(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Gather."""
        return torch.gather(x, -1, indices)

    def where(self, condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
        """A selection; a number is filled in, as making an array of it takes longer."""
        if isinstance(b, torch.Tensor):
            return torch.where(condition, a, b)
        return a.masked_fill(condition.logical_not(), b)

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

    def expert_linear(
        self, x: torch.Tensor, weight: torch.Tensor | torch_experts.Packed, ids: torch.Tensor
    ) -> torch.Tensor:
        """Over plain or packed matrices."""
        return torch_experts.expert_linear(x, weight, ids)

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Scaled dot-product attention with grouped key heads."""
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)

    def paged_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Gather the pages, and attend to the rows that are there."""
        heads = k.shape[1:]
        k, v = (F.embedding(table, pages.flatten(1)).unflatten(2, heads).transpose(1, 2) for pages in (k, v))
        there = torch.arange(table.shape[1], device=table.device) < lengths[:, None]
        return self.attention(q[:, :, None], k, v, there[:, None, None])[:, :, 0]

    def prefix_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, block: int
    ) -> torch.Tensor:
        """The queries of the block without a mask, then those after it."""
        k, v = (pages.index_select(0, table).transpose(0, 1)[None] for pages in (k, v))
        q = q.transpose(0, 1)[None]
        length, end = q.shape[2], k.shape[2]
        inner = max(0, block - (end - length))
        parts = []
        if inner:
            parts.append(self.attention(q[:, :, :inner], k[:, :, :block], v[:, :, :block], None))
        if inner < length:
            places = torch.arange(end, device=q.device)
            seen = None if inner == length - 1 else places <= places[end - length + inner :, None]
            parts.append(self.attention(q[:, :, inner:], k, v, seen))
        return (parts[0] if len(parts) == 1 else torch.cat(parts, 2))[0].transpose(0, 1)

    def softmax(self, x: torch.Tensor) -> torch.Tensor:
        """In float32."""
        return x.float().softmax(-1)

    def argmax(self, x: torch.Tensor) -> torch.Tensor:
        """The first of equals."""
        return x.argmax(-1)

    def draw(
        self, logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, uniforms: torch.Tensor
    ) -> torch.Tensor:
        """By sorting. Sums are float64, as numbers just below 1 get lost in a large vocabulary."""
        best = logits.amax(-1, keepdim=True)
        ranked, ids = (
            ((logits - best) / temperature[:, None]).softmax(-1).sort(dim=-1, descending=True, stable=True)
        )
        bound = torch.where(top_p < 1, top_p, 2.0)[:, None]
        inside = ranked * (ranked.cumsum(-1) - ranked <= bound)
        cumulative = torch.zeros_like(ranked).scatter(-1, ids, inside).cumsum(-1, dtype=torch.float64)
        target = uniforms[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[1] - 1)

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

    def submit(self, *results: torch.Tensor) -> None:
        """Everything has begun, or is done, when an operation returns."""

    def synchronize(self, *results: torch.Tensor) -> None:
        """Nothing runs behind the caller's back on the CPU."""
