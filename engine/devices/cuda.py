"""An NVIDIA card as a device."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from numpy.typing import NDArray

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.torch_ops import TorchDevice


class CudaDevice(TorchDevice):
    """PyTorch on the current CUDA card. Reduced-precision matrix modes stay off."""

    graphs = False
    """Whether steps may be CUDA graphs: operations ask the host nothing, and attention to a table as wide as
    the longest context costs no more than the positions that are in use."""

    def __init__(self, dtype: DType) -> None:
        place = torch.device("cuda", torch.cuda.current_device())
        super().__init__(f"cuda ({torch.cuda.get_device_name(place)})", dtype, place)
        torch.backends.cuda.matmul.allow_tf32 = False

    def array(self, values: NDArray[Any], exact: bool = False) -> torch.Tensor:
        """Copy host values by way of page-locked memory, so that nobody waits for what is queued before."""
        host = torch.tensor(values)
        dtype = torch.bool if host.dtype == torch.bool else torch.int64
        if host.is_floating_point():
            dtype = torch.float32 if exact else self._dtype
        return host.to(dtype).pin_memory().to(self._place, non_blocking=True)

    def free_memory(self) -> int | None:
        """Free memory of the card; what earlier models have left to PyTorch is given back first."""
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._place)
        return int(free)

    def synchronize(self, *results: torch.Tensor) -> None:
        """Wait for the card."""
        torch.cuda.synchronize(self._place)


def open_cuda(dtype: DType) -> CudaDevice:
    """The current card, with kernels of its own where Triton is installed and knows the card."""
    if importlib.util.find_spec("triton") is None or torch.cuda.get_device_capability() < (8, 0):
        return CudaDevice(dtype)
    from dreamscope.engine.devices.triton_ops import TritonCudaDevice

    return TritonCudaDevice(dtype)
