"""The one place that turns a device name into a device."""

from __future__ import annotations

import torch

from dreamscope.engine.devices.base import ITEM_BYTES, Device, DType
from dreamscope.engine.devices.cpu import CpuDevice
from dreamscope.engine.devices.cuda import open_cuda
from dreamscope.engine.devices.mlx import open_mlx
from dreamscope.engine.errors import DeviceUnavailable

DEVICES = ("auto", "cpu", "cuda", "mlx")
DTYPES = ("auto", *ITEM_BYTES)


def open_device(name: str = "auto", dtype: str = "auto", threads: int | None = None) -> Device:
    """Open `auto` (a CUDA card if there is one, else the CPU), `cpu`, `cuda` or `mlx`.

    `dtype` `auto` is float32 on the CPU, bfloat16 on Metal, and on a card bfloat16 where it is native, else
    float16. `threads` bounds the CPU threads of one PyTorch operation, now in this thread and later in those
    that enter the device's `inference`. Raises `DeviceUnavailable`.
    """
    if name not in DEVICES:
        raise DeviceUnavailable(f"Unknown device {name!r}; one of {', '.join(DEVICES)}.", "device")
    if dtype not in DTYPES:
        raise DeviceUnavailable(f"Unknown dtype {dtype!r}; one of {', '.join(DTYPES)}.", "dtype")
    if threads is not None:
        if threads < 1:
            raise DeviceUnavailable(f"threads must be at least 1, not {threads}.", "threads")
        if name == "mlx":
            raise DeviceUnavailable("MLX chooses its threads itself; leave threads out.", "threads")
        torch.set_num_threads(threads)
    if name == "mlx":
        return open_mlx(None if dtype == "auto" else dtype)  # type: ignore[arg-type]
    has_card = torch.cuda.is_available()
    if name == "cuda" and not has_card:
        built = torch.version.cuda
        raise DeviceUnavailable(
            f"No usable CUDA card: this PyTorch is built for {f'CUDA {built}' if built else 'the CPU only'}. "
            "Install a CUDA build of PyTorch and check `nvidia-smi`, or use --device cpu.",
            "device",
        )
    if name == "cpu" or not has_card:
        return CpuDevice(_resolved(dtype, "float32"), threads)
    return open_cuda(_resolved(dtype, "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"))


def torch_build() -> str:
    """Which PyTorch this is: its version and what it was built for."""
    return (
        f"{torch.__version__}, built for {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU'}"
    )


def cpu_threads() -> int:
    """How many CPU threads one PyTorch operation uses in this thread."""
    return torch.get_num_threads()


def _resolved(dtype: str, default: DType) -> DType:
    return default if dtype == "auto" else dtype  # type: ignore[return-value]
