"""An NVIDIA card as a device."""

from __future__ import annotations

import torch

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.torch_ops import TorchDevice


class CudaDevice(TorchDevice):
    """PyTorch on the current CUDA card. Reduced-precision matrix modes stay off."""

    def __init__(self, dtype: DType) -> None:
        place = torch.device("cuda", torch.cuda.current_device())
        super().__init__(f"cuda ({torch.cuda.get_device_name(place)})", dtype, place)
        torch.backends.cuda.matmul.allow_tf32 = False

    def free_memory(self) -> int | None:
        """Free memory of the card; what earlier models have left to PyTorch is given back first."""
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self._place)
        return int(free)

    def synchronize(self, *results: torch.Tensor) -> None:
        """Wait for the card."""
        torch.cuda.synchronize(self._place)
