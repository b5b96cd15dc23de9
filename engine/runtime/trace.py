"""Who watches the scheduler at work."""

from __future__ import annotations

from typing import Literal, Protocol

from dreamscope.engine.runtime.sequence import Step

Action = Literal["launch", "mask", "wait", "commit"]


class Trace(Protocol):
    """Hears of the host's work. The simulated host lets time pass here; metrics keep steps here."""

    def begin(self, action: Action, step: Step) -> None:
        """The host turns to something."""

    def end(self, action: Action, step: Step) -> None:
        """It is through with it. After "commit" the step is over and its times are known."""


class NoTrace:
    """Watches nothing."""

    def begin(self, action: Action, step: Step) -> None:
        """Nothing."""

    def end(self, action: Action, step: Step) -> None:
        """Nothing."""
