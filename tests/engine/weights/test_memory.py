"""The need of the published models, when it is refused, and what it leaves for context and images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import NotEnoughMemory
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.weights.load import load_model
from dreamscope.engine.weights.memory import (
    MemoryNeed,
    check_memory,
    fit_context,
    image_cache_bytes,
    memory_need,
)
from dreamscope.engine.weights.progress import Progress

GIB = 1 << 30
POSITION = 196_608  # bytes of keys and values of both published models in two-byte numbers
INT4 = 7 * GIB
"""About what Moondream 3 takes with its experts packed."""


@pytest.fixture
def with_free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], Device]:
    """A device with so much free memory."""

    def make(free: int | None) -> Device:
        device: Device = open_device("cpu", "bfloat16")
        monkeypatch.setattr(device, "free_memory", lambda: free)
        return device

    return make


def test_the_published_model_in_two_byte_numbers() -> None:
    need = memory_need(Moondream2Config(), "bfloat16")
    assert need.weights == 3_854_474_208
    assert need.cache == 2 * 24 * 2048 * 2048 * 2
    assert need.weights + need.cache < need.total < 5 << 30
    assert memory_need(Moondream2Config(), "float32").total == 2 * need.total
    assert str(need).startswith("4.2 GiB (3.6 GiB weights, 384.0 MiB for a context of 2,048 tokens")


@pytest.mark.parametrize(("free", "fits"), [(59, False), (60, True), (None, True)])
def test_only_known_shortage_is_refused(
    monkeypatch: pytest.MonkeyPatch, free: int | None, fits: bool
) -> None:
    device: Device = open_device("cpu", "bfloat16")
    monkeypatch.setattr(device, "free_memory", lambda: free)
    need = MemoryNeed(10, 20, 30, 5)
    if fits:
        check_memory(need, device)
        return
    with pytest.raises(NotEnoughMemory, match="but cpu has") as caught:
        check_memory(need, device)
    assert "bfloat16, which" not in caught.value.message  # it is computed in that already


@pytest.mark.parametrize(
    ("free", "context"),
    [(None, 32_768), (64 * GIB, 32_768), (11 * GIB, 20_736), (9 * GIB, 9_728), (7 * GIB, 4096), (0, 4096)],
)
def test_the_context_is_as_long_as_memory_allows(
    with_free: Callable[[int | None], Device], free: int | None, context: int
) -> None:
    device = with_free(free)
    whole = memory_need(Moondream3Config(), "bfloat16", INT4)
    assert whole.cache == 32_768 * POSITION
    config, need = fit_context(Moondream3Config(), whole, device)
    assert config.text.max_context == need.context == context
    assert need.cache == context * POSITION
    assert (need.weights, need.workspace) == (whole.weights, whole.workspace)
    if free is not None and 4096 < context < 32_768:
        assert need.total <= free < need.total + 256 * POSITION
    if context > 4096:
        check_memory(need, device)
    else:
        with pytest.raises(NotEnoughMemory, match="for a context of 4,096 tokens"):
            check_memory(need, device)


def test_a_short_context_is_not_shortened(with_free: Callable[[int | None], Device]) -> None:
    need = memory_need(Moondream2Config(), "bfloat16")
    config, same = fit_context(Moondream2Config(), need, with_free(need.total - 1))
    assert config == Moondream2Config()
    assert same == need


def test_a_model_is_loaded_with_the_context_that_fits(
    checkpoint: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamscope.engine.weights.memory.LEAST_CONTEXT", 16)
    monkeypatch.setattr("dreamscope.engine.weights.memory.CONTEXT_STEP", 8)
    told: list[str] = []

    def report(progress: Progress) -> None:
        if progress.stage == "memory":
            told.append(progress.message)

    whole = load_model(checkpoint, cpu, report)
    assert len(told) == 1
    need = memory_need(whole.config, "float32")  # type: ignore[arg-type]
    short_of = need.cache // need.context * 20
    monkeypatch.setattr(cpu, "free_memory", lambda: need.total - short_of)
    model = load_model(checkpoint, cpu, report)
    assert (whole.config.text.max_context, model.config.text.max_context) == (64, 40)
    assert model.new_cache().capacity == 40
    assert told[-1] == "Memory holds a context of 40 tokens; the model could take 64"


def test_images_may_keep_half_of_what_is_left(with_free: Callable[[int | None], Device]) -> None:
    need = memory_need(Moondream3Config(), "bfloat16", INT4)

    def kept(left: int | None) -> int:
        free = None if left is None else need.cache + need.workspace + left
        model: Any = SimpleNamespace(config=Moondream3Config(), device=with_free(free))
        return image_cache_bytes(1000, model)

    assert [kept(left) for left in (None, 5000, 2000, 1000, 0, -9)] == [1000, 1000, 1000, 500, 0, 0]
