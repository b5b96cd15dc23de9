"""A runner for a model on its device."""

from __future__ import annotations

import time
from collections.abc import Callable

from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.cpu_runner import CpuRunner
from dreamscope.engine.devices.cpu_steps import TracedSteps, can_trace
from dreamscope.engine.devices.cuda import CudaDevice
from dreamscope.engine.devices.cuda_runner import open_cuda_runner
from dreamscope.engine.devices.program import Batchable
from dreamscope.engine.devices.runner import Limits, ModelRunner
from dreamscope.engine.devices.steps import Steps


def build_runner(
    model: Batchable,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
    ahead: bool = False,
) -> ModelRunner:
    """A runner that computes `model`; `limits` as its memory suggests, unless given.

    `clock` gives the seconds in which events tell their time. Images are `Crops`, adapters `lora.Adapter`.
    `ahead`: whether to use idle time to prepare for batches of other sizes; otherwise the first of a size
    takes longer.
    """
    program = model.batched(limits)
    device = program.device
    if isinstance(device, CudaDevice):
        return open_cuda_runner(program, device, clock)
    if isinstance(device, CpuDevice) and can_trace(program):
        return CpuRunner(TracedSteps(program, device, ahead), clock)
    if isinstance(device, CpuDevice):
        return CpuRunner(Steps(program), clock)
    from dreamscope.engine.devices.mlx_runner import MlxRunner  # can be imported where there is MLX

    return MlxRunner(program, clock)
