"""The reader against the library's writer, and against damaged files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dreamscope.engine.errors import WeightsInvalid, WeightsNotFound
from dreamscope.engine.weights.safetensors_file import open_safetensors


def test_reads_what_the_library_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    written = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(4, dtype=np.float16),
        "empty": np.zeros((0, 3), np.float32),
    }
    save_file({**written, "ids": np.arange(3)}, path, {"format": "np"})
    tensors = open_safetensors(path)
    assert set(tensors) == set(written)  # integers are no parameters
    for name, values in written.items():
        np.testing.assert_array_equal(tensors[name].read(), values)
        assert tensors[name].nbytes == values.nbytes
        assert tensors[name].read().dtype == values.dtype


def _write(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_bfloat16_arrives_as_bits(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC020], np.uint16)  # 1 and -2.5
    header = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    tensor = open_safetensors(_write(tmp_path / "b", header, bits.tobytes()))["w"]
    assert tensor.stored == "BF16"
    np.testing.assert_array_equal(tensor.read(), bits)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"no weights file .*nothing\.safetensors"):
        open_safetensors(tmp_path / "nothing.safetensors")


def test_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({"w": np.ones(100, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsInvalid, match=r"cut short: w should end at .* Download it again"):
        open_safetensors(path)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", b"<html>not a model</html>", struct.pack("<Q", 40) + b"{"]
)
def test_not_a_safetensors_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid, match="not a safetensors file"):
        open_safetensors(path)


@pytest.mark.parametrize(
    "header",
    [
        [1],
        {"w": 3},
        {"w": {"dtype": "F32"}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}},
        {"w": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}},
        {"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
    ],
)
def test_damaged_header(tmp_path: Path, header: object) -> None:
    with pytest.raises(WeightsInvalid, match="damaged header"):
        open_safetensors(_write(tmp_path / "bad", header, b"1234"))


@pytest.mark.parametrize("offsets", [[0, 8], [4, 0], [-4, 0]])
def test_offsets_that_do_not_fit_the_shape(tmp_path: Path, offsets: list[int]) -> None:
    header = {"w": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}
    with pytest.raises(WeightsInvalid, match="is damaged: w"):
        open_safetensors(_write(tmp_path / "bad", header, b"12345678"))
