"""The processor as a device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from dreamscope.engine.devices import torch_scripts
from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.cpu_packed import PackedMatrices
from dreamscope.engine.devices.host_heap import keep_few_products, keep_freed_memory
from dreamscope.engine.devices.host_memory import free_host_memory
from dreamscope.engine.devices.torch_ops import TorchDevice

GATHERED = 1 << 18
"""Numbers of keys that are gathered from their pages at a time: about the cache of a core."""


class CpuDevice(TorchDevice):
    """PyTorch on the CPU. `threads`: how many an operation uses below `inference`; `None` leaves it open."""

    def __init__(self, dtype: DType, threads: int | None = None, gathered: int = GATHERED) -> None:
        super().__init__("cpu", dtype, torch.device("cpu"))
        keep_freed_memory()
        keep_few_products()
        self._threads = threads
        self._gathered = gathered
        suits = dtype == "float32" and torch.backends.mkldnn.is_available()
        self._packed = PackedMatrices() if suits else None
        torch_scripts.expect_sparse()

    def inference(self) -> AbstractContextManager[object]:
        """Without autograd, and with the threads of this device, whatever other devices were opened since."""
        if self._threads is not None:
            torch.get_num_threads()  # takes over the number of the process, which then cannot come later
            torch.set_num_threads(self._threads)
        return super().inference()

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """By the library that suits the number of rows, if there are two."""
        return self._linear(x, weight, bias, False) if self._packed else super().linear(x, weight, bias)

    def linear_gelu(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """In one where that library can."""
        return self._linear(x, weight, bias, True) if self._packed else super().linear_gelu(x, weight, bias)

    def _linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, gelu: bool) -> torch.Tensor:
        assert self._packed is not None
        packed = self._packed.of(weight)
        many = torch_scripts.MANY_ROWS if packed is weight else torch_scripts.MANY_ROWS_PACKED
        linear = torch_scripts.linear
        if torch.jit.is_tracing():
            linear = torch_scripts.compiled(linear)
        return linear(x, weight, packed, bias, many, gelu)

    def kept(self) -> Sequence[torch.Tensor]:
        """What operations read beside what they are given."""
        return () if self._packed is None else self._packed.all()

    def true_places(self, mask: torch.Tensor) -> torch.Tensor:
        """Known at once; also in a trace, whose sizes follow from sizes."""
        return mask.nonzero()[:, 0]

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """In a trace, for any number of heads."""
        if not torch.jit.is_tracing():
            return super().attention(q, k, v, mask)
        mixed: torch.Tensor = torch_scripts.compiled(torch_scripts.attention)(q, k, v, mask)
        return mixed

    def paged_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """From where keys and values lie, if they are float32; else a few rows at a time."""
        mixed: torch.Tensor
        if self._dtype == torch.float32:
            mixed = torch_scripts.compiled(torch_scripts.paged_attention)(q, k, v, table, lengths)
        else:
            attend = torch_scripts.compiled(torch_scripts.gathered_attention)
            mixed = attend(q, k, v, table, lengths, self._gathered)
        return mixed

    def draw(
        self, logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor, uniforms: torch.Tensor
    ) -> torch.Tensor:
        """Sorting only the likely ids where that is enough."""
        draw = torch_scripts.compiled(torch_scripts.draw)
        ids: torch.Tensor = draw(logits, temperature, top_p, uniforms, torch_scripts.LIKELY)
        return ids

    def free_memory(self) -> int | None:
        """Free memory of the machine or the container."""
        return free_host_memory()
