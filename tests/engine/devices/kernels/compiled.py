"""Compiles every kernel for a card that need not be here, at the sizes of Moondream 2 and 3.

A program of its own: run without Triton's interpreter, which replaces the compiler in a whole process. The
wrappers are called with tensors that hold nothing, and each launch is compiled to machine code, not run.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import JITFunction

from dreamscope.engine.devices.base import Rotation
from dreamscope.engine.devices.kernels import lora, moe, paged_attention, rope_write, sample

TYPES = {
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.bool: "*i1",
}
compiled: dict[str, int] = {}
"""Bytes of shared memory, at most, by kernel."""


def compile_launch(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
    """In the place of a launch."""
    named = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    constants = {p.name: named[p.name] for p in kernel.params if p.is_constexpr}
    signature = {
        name: "constexpr" if name in constants else type_of(named[name]) for name in kernel.arg_names
    }
    options = {name: value for name, value in kwargs.items() if name not in kernel.arg_names}
    binary = triton.compile(ASTSource(kernel, signature, constants), target=TARGET, options=options)
    compiled[kernel.__name__] = max(binary.metadata.shared, compiled.get(kernel.__name__, 0))


def type_of(argument: Any) -> str:
    if isinstance(argument, torch.Tensor):
        return TYPES[argument.dtype]
    return "fp32" if isinstance(argument, float) else "i32"


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def longs(*shape: int) -> torch.Tensor:
    return empty(*shape, dtype=torch.int64)


def floats(*shape: int) -> torch.Tensor:
    return empty(*shape, dtype=torch.float32)


def launch_all(rows: int, heads: int, width: int, dim: int, vocab: int) -> None:
    """One launch of each kernel, two of those that choose between shapes; types are those of the devices."""
    pages = empty(4096, heads, width), empty(4096, heads, width)
    for batch in (1, rows):
        one = empty(batch, heads, width)
        paged_attention.paged_attention(one, *pages, longs(batch, 2048), longs(batch))
    paged_attention.prefix_attention(empty(740, heads, width), *pages, longs(740), 730)
    turned = Rotation(floats(rows, 1, width), floats(rows, 1, width), longs(width), longs(width))
    rope_write.rope_write(empty(rows, 2 * heads, width), one, turned, longs(rows), *pages)
    ids = longs(rows, 8)
    for tokens in (rows, 740):
        moe.expert_linear(empty(tokens, 1, dim), empty(64, dim, dim), longs(tokens, 8))
    slots = longs(rows)
    lora.lora(empty(rows, dim), empty(rows, 16, dim), empty(rows, 4 * dim, 16), slots, empty(rows, 4 * dim))
    pair = empty(64 * rows, 2, dim), empty(64 * rows, dim, 2)
    lora.expert_lora(empty(rows, 1, dim), *pair, slots, ids, 64, empty(rows, 8, dim))
    choice = floats(rows), floats(rows), floats(rows)
    sample.sample(floats(rows, vocab), empty(100, vocab, dtype=torch.bool), slots, *choice)


if __name__ == "__main__":
    JITFunction.run = compile_launch
    TARGET = GPUTarget("cuda", int(sys.argv[1]), 32)
    launch_all(rows=32, heads=32, width=64, dim=2048, vocab=51200)
    print(compiled)
