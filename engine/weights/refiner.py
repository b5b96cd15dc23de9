"""A file of the mask refiner becomes its parameters on a device. Strict: every tensor, and its shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dreamscope.engine.devices.base import Array, Device, Stored
from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.layers import Linear, Norm
from dreamscope.engine.models.refiner import (
    EARLY_BLOCK,
    FUSION_GROUPS,
    Doubling,
    Normed,
    RefinerWeights,
    TwoWayBlock,
)
from dreamscope.engine.models.refiner_layers import Attention
from dreamscope.engine.weights.forms import FLOATS
from dreamscope.engine.weights.safetensors_file import open_safetensors

SUFFIXES = (".pt", ".safetensors")
_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.")
Tensors = dict[str, tuple[NDArray[Any], Stored]]


def load_refiner(path: Path, model: Model, early_block: int = EARLY_BLOCK) -> RefinerWeights:
    """Read the refiner of `model`: `model.pt` as published, or a `.safetensors` with the same names.

    The sizes are those of the tensors. Raises `WeightsNotFound` if there is no such file, and
    `WeightsInvalid` naming the tensor that is missing, unknown or of the wrong shape, or the size in which
    the refiner and the model differ.
    """
    if not path.is_file():
        raise WeightsNotFound(f"There is no mask refiner {path}; without --refiner outlines stay coarse.")
    tensors = _read(path)
    reader = _Reader(path, tensors, model.device)
    weights = _build(reader)
    model.device.synchronize(weights.tokens)  # which are computed; the engine's thread will use them
    if reader.unread:
        raise WeightsInvalid(f"{path} holds {min(reader.unread):.80}, which is no part of a mask refiner.")
    vision = model.config.vision
    width = tensors["image_proj.weight"][0].shape[1]
    for what, here, there in (
        ("vision features", width, vision.enc_dim),
        ("patches along a side", weights.grid, vision.grid),
    ):
        if here != there:
            raise WeightsInvalid(f"The refiner {path} is for {here} {what}; this model has {there}.")
    if early_block >= vision.enc_n_layers:
        raise WeightsInvalid(
            f"The refiner {path} looks at the vision features after block {early_block} (from 0); "
            f"this model has {vision.enc_n_layers} blocks."
        )
    return weights


def _read(path: Path) -> Tensors:
    if path.suffix == ".safetensors":
        stored = open_safetensors(path)
        wrong = next((name for name, tensor in stored.items() if tensor.stored not in FLOATS), None)
        if wrong is not None:
            raise WeightsInvalid(f"{path}: {wrong} has the dtype {stored[wrong].stored}; floats are needed.")
        return {name: (tensor.read(), cast(Stored, tensor.stored)) for name, tensor in stored.items()}
    if path.suffix == ".pt":
        # Only these files need torch, which another backend may live without.
        from dreamscope.engine.weights.torch_file import read_torch

        return read_torch(path, wrapper="head")
    raise WeightsInvalid(f"The refiner {path} must end in {' or '.join(SUFFIXES)}.")


class _Reader:
    """Takes tensors by name, checks their shapes, and brings them into the layout of the layers."""

    def __init__(self, path: Path, tensors: Tensors, device: Device) -> None:
        self._path = path
        self._tensors = tensors
        self.device = device
        self.unread = set(tensors)

    def shape(self, name: str, sizes: int) -> tuple[int, ...]:
        """The shape of a tensor with so many axes."""
        if name not in self._tensors:
            raise WeightsInvalid(f"The refiner {self._path} lacks {name}.")
        shape = self._tensors[name][0].shape
        if len(shape) != sizes or 0 in shape:
            raise WeightsInvalid(f"{self._path}: {name} has the shape {list(shape)}, not {sizes} sizes.")
        return shape

    def count(self) -> int:
        """How many two-way blocks there are."""
        found = [int(match[1]) for name in self._tensors if (match := _BLOCK.match(name))]
        return max(found, default=0) + 1

    def raw(self, name: str, *shape: int) -> NDArray[Any]:
        """A tensor of this shape as it is stored."""
        found = self.shape(name, len(shape))
        if found != shape:
            raise WeightsInvalid(
                f"{self._path}: {name} has the shape {list(found)}; {list(shape)} is needed here."
            )
        self.unread.discard(name)
        return self._tensors[name][0]

    def put(self, name: str, values: NDArray[Any]) -> Array:
        """On the device: `values` rearranged from the tensor `name`."""
        return self.device.weight(np.ascontiguousarray(values), self._tensors[name][1])

    def norm(self, name: str, dim: int) -> Norm:
        """Scale and shift."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        return Norm(self.put(weight, self.raw(weight, dim)), self.put(bias, self.raw(bias, dim)))

    def linear(self, name: str, into: int, out: int, *kernel: int) -> Linear:
        """A linear layer, or a convolution over `kernel` cells: the cells row by row, then the channels."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        raw = self.raw(weight, out, into, *kernel)
        rows = np.moveaxis(raw, 1, -1).reshape(out, -1)
        return Linear(self.put(weight, rows), self.put(bias, self.raw(bias, out)))

    def doubling(self, name: str, into: int, out: int) -> Linear:
        """A transposed 2x2 convolution: rows for the four cells, the channels of each together."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        rows = self.raw(weight, into, out, 2, 2).transpose(2, 3, 1, 0).reshape(4 * out, into)
        return Linear(self.put(weight, rows), self.put(bias, np.tile(self.raw(bias, out), 4)))

    def attention(self, name: str, dim: int) -> Attention:
        """Thirds of the common projection, and the output."""
        weight, bias = f"{name}.in_proj_weight", f"{name}.in_proj_bias"
        rows = np.split(self.raw(weight, 3 * dim, dim), 3)
        shifts = np.split(self.raw(bias, 3 * dim), 3)
        q, k, v = (
            Linear(self.put(weight, row), self.put(bias, shift))
            for row, shift in zip(rows, shifts, strict=True)
        )
        return Attention(q, k, v, self.linear(f"{name}.out_proj", dim, dim))


def _build(read: _Reader) -> RefinerWeights:
    dim, width, *_ = read.shape("image_proj.weight", 4)
    if dim % FUSION_GROUPS:
        raise WeightsInvalid(f"image_proj.weight of a refiner has a multiple of 32 rows, not {dim}.")
    masks = read.shape("mask_tokens", 2)[0]
    grid = read.shape("image_pe", 4)[-1]
    places = read.raw("image_pe", 1, dim, grid, grid).reshape(dim, grid * grid).T
    tokens = (("mask_tokens", masks), ("iou_token", 1))
    fine = dim // 8
    return RefinerWeights(
        grid=grid,
        image_proj=read.linear("image_proj", width, dim, 1, 1),
        image_pe=read.put("image_pe", places),
        early_proj=Normed(
            read.linear("hq_fusion.early_proj.0", width, dim), read.norm("hq_fusion.early_proj.1", dim)
        ),
        fusion=(
            Normed(
                read.linear("hq_fusion.fusion.0", 2 * dim, dim, 1, 1), read.norm("hq_fusion.fusion.1", dim)
            ),
            Normed(read.linear("hq_fusion.fusion.3", dim, dim, 3, 3), read.norm("hq_fusion.fusion.4", dim)),
        ),
        mask_encoder=_mask_encoder(read, dim),
        tokens=read.device.concat([read.put(name, read.raw(name, count, dim)) for name, count in tokens], 0),
        output_pe=read.put("output_pe", read.raw("output_pe", masks + 1, dim)),
        blocks=[_block(read, f"transformer_blocks.{i}", dim) for i in range(read.count())],
        final=read.attention("final_token_to_image", dim),
        final_norm=read.norm("final_norm", dim),
        upsample=[_doubling(read, dim, stage) for stage in range(3)],
        fine_proj=read.linear("final_q_proj", dim, fine),
        fine=read.attention("final_attn_up", fine),
        fine_norm=read.norm("final_norm_up", fine),
        mask_mlps=[
            [read.linear(f"mask_mlps.{i}.{layer}", fine, fine) for layer in (0, 2, 4)] for i in range(masks)
        ],
        iou_head=[
            read.linear(f"iou_head.{layer}", dim, out) for layer, out in ((0, dim), (2, dim), (4, masks))
        ],
    )


def _mask_encoder(read: _Reader, dim: int) -> list[Normed]:
    widths = (1, dim // 16, dim // 8, dim // 4, dim)
    return [
        Normed(
            read.linear(f"mask_encoder.conv{i}.0", widths[i - 1], widths[i], 3, 3),
            read.norm(f"mask_encoder.conv{i}.1", widths[i]),
        )
        for i in range(1, 5)
    ]


def _block(read: _Reader, name: str, dim: int) -> TwoWayBlock:
    inner = read.shape(f"{name}.mlp.0.weight", 2)[0]
    return TwoWayBlock(
        among_tokens=read.attention(f"{name}.output_self_attn", dim),
        norm1=read.norm(f"{name}.norm1", dim),
        to_picture=read.attention(f"{name}.cross_attn_token_to_image", dim),
        norm2=read.norm(f"{name}.norm2", dim),
        fc1=read.linear(f"{name}.mlp.0", dim, inner),
        fc2=read.linear(f"{name}.mlp.2", inner, dim),
        norm3=read.norm(f"{name}.norm3", dim),
        to_tokens=read.attention(f"{name}.cross_attn_image_to_token", dim),
        norm4=read.norm(f"{name}.norm4", dim),
    )


def _doubling(read: _Reader, dim: int, stage: int) -> Doubling:
    into, out, first = dim >> stage, dim >> (stage + 1), 6 * stage
    up = Normed(read.doubling(f"upsample.{first}", into, out), read.norm(f"upsample.{first + 1}.norm", out))
    conv = Normed(
        read.linear(f"upsample.{first + 3}", out, out, 3, 3), read.norm(f"upsample.{first + 4}.norm", out)
    )
    return Doubling(up, conv)
