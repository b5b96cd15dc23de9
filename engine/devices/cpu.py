"""The processor as a device."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from dreamscope.engine.devices.base import DType
from dreamscope.engine.devices.host_memory import free_host_memory
from dreamscope.engine.devices.torch_ops import TorchDevice


class CpuDevice(TorchDevice):
    """PyTorch on the CPU. `threads`: how many an operation uses below `inference`; `None` leaves it open."""

    def __init__(self, dtype: DType, threads: int | None = None) -> None:
        super().__init__("cpu", dtype, torch.device("cpu"))
        self._threads = threads

    def inference(self) -> AbstractContextManager[object]:
        """Without autograd, and with the threads of this device, whatever other devices were opened since."""
        if self._threads is not None:
            torch.get_num_threads()  # takes over the number of the process, which then cannot come later
            torch.set_num_threads(self._threads)
        return super().inference()

    def free_memory(self) -> int | None:
        """Free memory of the machine or the container."""
        return free_host_memory()
