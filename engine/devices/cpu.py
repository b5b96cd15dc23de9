"""The processor as a device."""

from __future__ import annotations

import torch

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.host_memory import free_host_memory
from dreamscope.engine.devices.torch_ops import TorchDevice


class CpuDevice(TorchDevice):
    """PyTorch on the CPU."""

    def __init__(self, dtype: DType) -> None:
        super().__init__("cpu", dtype, torch.device("cpu"))

    def free_memory(self) -> int | None:
        """Free memory of the machine or the container."""
        return free_host_memory()
