"""The need of the published model, and when it is refused."""

from __future__ import annotations

import pytest

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.registry import open_device
from dreamscope.engine.errors import NotEnoughMemory
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.weights.memory import MemoryNeed, check_memory, memory_need


def test_the_published_model_in_two_byte_numbers() -> None:
    need = memory_need(Moondream2Config(), "bfloat16")
    assert need.weights == 3_854_474_208
    assert need.cache == 2 * 24 * 2048 * 2048 * 2
    assert need.weights + need.cache < need.total < 5 << 30
    assert memory_need(Moondream2Config(), "float32").total == 2 * need.total
    assert str(need).startswith("4.2 GiB (3.6 GiB weights, 384.0 MiB for one full context")


@pytest.mark.parametrize(("free", "fits"), [(59, False), (60, True), (None, True)])
def test_only_known_shortage_is_refused(
    monkeypatch: pytest.MonkeyPatch, free: int | None, fits: bool
) -> None:
    device: Device = open_device("cpu", "bfloat16")
    monkeypatch.setattr(device, "free_memory", lambda: free)
    need = MemoryNeed(10, 20, 30)
    if fits:
        check_memory(need, device)
        return
    with pytest.raises(NotEnoughMemory, match="but cpu has") as caught:
        check_memory(need, device)
    assert "bfloat16, which" not in caught.value.message  # it is computed in that already
